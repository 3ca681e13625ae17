// Says what the first view weighs, and fails where it is over the limit: the scripts that index.html names, and what
// these import at once, as gzip. Chunks that a later page asks for do not count.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const LIMIT = 300 * 1024;
const root = new URL('../dist/', import.meta.url).pathname;

/** What the page at `/` asks for at once; its chunks are called so. */
const FIRST = { central: ['overview', 'Plot'], gateway: ['dashboard', 'Plot'] };

/** The scripts that must be there before the first view, with those of the page at `/`. */
function firstView(app, folder) {
  const page = readFileSync(join(folder, 'index.html'), 'utf8');
  const found = new Set([...page.matchAll(/(?:src|href)="\/(assets\/[^"]+\.js)"/g)].map((match) => match[1]));
  const chunks = readdirSync(join(folder, 'assets')).filter((name) => name.endsWith('.js'));
  for (const of of FIRST[app]) {
    const named = chunks.filter((name) => name.startsWith(`${of}-`));
    // Measured without it, the first view would pass for lighter than it is.
    if (named.length === 0) throw new Error(`no chunk of ${app} is called ${of}: say in build/size.mjs what the page at / asks for`);
    named.forEach((name) => found.add(`assets/${name}`));
  }
  for (const name of found) {
    const text = readFileSync(join(folder, name), 'utf8');
    for (const match of text.matchAll(/(?:from|import)\s*["']\.\/([^"']+\.js)["']/g)) found.add(`assets/${match[1]}`);
  }
  return [...found];
}

let over = false;
for (const app of ['central', 'gateway']) {
  const folder = join(root, app);
  const scripts = firstView(app, folder);
  const bytes = scripts.reduce((sum, name) => sum + gzipSync(readFileSync(join(folder, name)), { level: 9 }).length, 0);
  const all = readdirSync(join(folder, 'assets')).reduce((sum, name) => sum + statSync(join(folder, 'assets', name)).size, 0);
  process.stdout.write(
    `${app}: first view ${(bytes / 1024).toFixed(1)} KiB of compressed script in ${scripts.length} files; ` +
      `${(all / 1024 / 1024).toFixed(1)} MiB embedded\n`,
  );
  over ||= bytes > LIMIT;
}
if (over) {
  process.stderr.write(`The first view is over ${LIMIT / 1024} KiB: load later what is not needed at once.\n`);
  process.exit(1);
}
