import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The ready file of `sealgate dev`, as far as it is used here. */
interface Ready {
  readonly data_dir: string;
  readonly rsa_key_file: string;
  readonly central: { readonly console: string; readonly token: string; readonly user: string; readonly password: string; readonly pid: number; readonly metrics: string };
  readonly gateways: readonly {
    readonly name: string;
    readonly console: string;
    readonly metrics: string;
    readonly token: string;
    readonly s3: string;
    readonly access_key: string;
    readonly secret_key: string;
    readonly pid: number;
  }[];
}

/** A variable that whoever starts the tests sets. */
export function needed(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: tests/suite/console.rs sets it`);
  return value;
}

/** What runs, as it is now: a process that was started again has another pid. */
export const ready = (): Ready => JSON.parse(readFileSync(needed('SEALGATE_READY_FILE'), 'utf8')) as Ready;

/** Where Central's console is. */
export const central = (): string => ready().central.console;

/** The gateway of this index. */
export function gateway(index: number): Ready['gateways'][number] {
  const one = ready().gateways[index];
  if (one === undefined) throw new Error(`there is no gateway ${index}`);
  return one;
}

/** A folder that outlives the tests. */
export function artefacts(...path: readonly string[]): string {
  const folder = join(needed('SEALGATE_ARTEFACTS'), ...path);
  mkdirSync(folder, { recursive: true });
  return folder;
}

interface Call {
  readonly method?: string;
  readonly body?: unknown;
  readonly token?: string;
}

/** A request of a script to the interface, `path` behind `/api/v1`; its JSON. */
export async function rest(base: string, path: string, { method = 'GET', body, token }: Call = {}): Promise<unknown> {
  const at = token ?? (base === central() ? ready().central.token : gateway(0).token);
  const response = await fetch(`${base}/api/v1${path}`, {
    method,
    headers: { Authorization: `Bearer ${at}`, 'Content-Type': typeof body === 'string' ? 'application/yaml' : 'application/json' },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text === '' ? undefined : (JSON.parse(text) as unknown);
}

/** An S3 client of its own kind, boto3, against the gateway of this index; `s3` is in scope of the script. */
export function boto3(index: number, script: string): string {
  const at = gateway(index);
  const prelude = `import boto3\ns3 = boto3.client('s3', endpoint_url='${at.s3}', region_name='us-east-1')\n`;
  return execFileSync(needed('SEALGATE_PYTHON'), ['-c', prelude + script], {
    encoding: 'utf8',
    env: {
      PATH: process.env['PATH'],
      AWS_ACCESS_KEY_ID: at.access_key,
      AWS_SECRET_ACCESS_KEY: at.secret_key,
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    },
  });
}

/** What Central's database is told. */
export function sql(statements: string): void {
  const file = join(ready().data_dir, 'postgres', 'postmaster.pid');
  const port = readFileSync(file, 'utf8').split('\n')[3] ?? '';
  execFileSync('psql', ['--no-psqlrc', '--quiet', '-v', 'ON_ERROR_STOP=1', '-h', '127.0.0.1', '-p', port, '-U', 'sealgate', 'postgres'], { input: statements });
}

/** Freezes a process, as a machine that hangs does; the answer lets it go on. */
export function freeze(pid: number): () => void {
  process.kill(pid, 'SIGSTOP');
  return () => process.kill(pid, 'SIGCONT');
}

/** Freezes PostgreSQL with all that serves its connections. */
export function freezePostgres(): () => void {
  const file = join(ready().data_dir, 'postgres', 'postmaster.pid');
  const first = Number(readFileSync(file, 'utf8').split('\n', 1)[0]);
  const pids = [first, ...childrenOf(first)];
  pids.forEach((pid) => process.kill(pid, 'SIGSTOP'));
  return () => {
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGCONT');
      } catch {
        // It has ended meanwhile.
      }
    }
  };
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && parentOf(pid) === parent);
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1]);
  } catch {
    return undefined;
  }
}
