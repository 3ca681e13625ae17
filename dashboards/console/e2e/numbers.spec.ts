import { execFileSync } from 'node:child_process';

import type { Locator, Page } from '@playwright/test';

import { boto3, central, freeze, gateway, needed, ready, rest } from './service';
import { expect, logInAtCentral, test } from './test';

/** What is stored at each of two gateways: so many objects of 1,000 bytes, encrypted by a policy, plain, and refused. */
const ENCRYPTED = 7;
const PLAIN = 5;
const DENIED = 3;
const SIZE = 1_000;

const POLICIES = `apiVersion: sealgate.dev/v1
kind: GovernancePolicy
metadata: { name: numbers-encrypted }
spec: { buckets: [numbers], when: 'object.key.startsWith("secret/")', effect: encrypt }
---
apiVersion: sealgate.dev/v1
kind: GovernancePolicy
metadata: { name: numbers-denied }
spec: { buckets: [numbers], when: 'object.key.startsWith("denied/")', effect: deny }
`;

interface Figures {
  readonly rows: readonly { readonly outcome: string; readonly objects: number; readonly bytes: number; readonly objects_read: number; readonly bytes_read: number }[];
}

/** `Objects in` or `Data in` of a figures table, summed as a reader would. */
const sumOf = (page: Page, head: string): Promise<number> => column(page, 'figures', head);

/** A column of a table, summed. */
async function column(page: Page, what: string, head: string): Promise<number> {
  const table = page.getByRole('region', { name: `Table of ${what}`, exact: true });
  await expect(table.getByRole('row').nth(1)).toBeVisible();
  const heads = await table.getByRole('columnheader').allInnerTexts();
  const place = heads.findIndex((one) => one.startsWith(head));
  expect(place, `a column ${head}`).toBeGreaterThanOrEqual(0);
  // What is short on the page is exact in its title.
  const told = await table
    .locator('tbody tr')
    .evaluateAll((rows, at) => rows.map((row) => row.children[at]?.querySelector('[title]')?.getAttribute('title') ?? row.children[at]?.textContent ?? ''), place);
  return told.reduce((sum, one) => sum + number(one.replace(' bytes', '')), 0);
}

const number = (text: string): number => Number(text.replaceAll(/[^0-9]/g, ''));

/** What the series of this name with all of these labels add up to, as `at` has it for Prometheus. */
async function metric(name: string, labels: readonly string[] = [], at = ready().central.metrics): Promise<number> {
  const text = await (await fetch(at)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => labels.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** The sum of a counter of Central's, over the outcomes, of what came in. */
async function prometheus(name: string, outcomes: readonly string[]): Promise<number> {
  const of = await Promise.all(outcomes.map((one) => metric(name, ['direction="in"', `outcome="${one}"`])));
  return of.reduce((sum, one) => sum + one, 0);
}

/** What the command line prints. */
const cli = (...args: readonly string[]): unknown =>
  JSON.parse(execFileSync(needed('SEALGATE_PROGRAM'), ['--ready-file', needed('SEALGATE_READY_FILE'), '--json', ...args], { encoding: 'utf8' }));

/** Figures as the command line adds them up. */
function stats(outcomes: readonly string[], since: readonly string[] = []): Omit<Figures['rows'][number], 'outcome'> {
  const rows = (cli('stats', ...since) as Figures).rows.filter((row) => outcomes.includes(row.outcome));
  const sum = (of: 'objects' | 'bytes' | 'objects_read' | 'bytes_read') => rows.reduce((all, row) => all + row[of], 0);
  return { objects: sum('objects'), bytes: sum('bytes'), objects_read: sum('objects_read'), bytes_read: sum('bytes_read') };
}

/** Outcomes by which an object is stored as it came, as the overview counts them. */
const PLAINLY = ['plain', 'would-encrypt', 'would-deny', 'error'];

const big = (tile: Locator): Locator => tile.locator('.sg-big a');

test('each number of the overview leads to the rows that it is made of, and stats and Prometheus say the same', async ({ page }) => {
  await rest(central(), '/policy-set/apply', { method: 'POST', body: POLICIES });
  await expect.poll(async () => ((await rest(central(), '/convergence')) as { readonly effective: number }).effective).toBe(2);
  boto3(0, `s3.create_bucket(Bucket='numbers')`);
  for (const index of [0, 1]) {
    boto3(
      index,
      `from botocore.exceptions import ClientError
for folder, many in (('secret', ${ENCRYPTED}), ('open', ${PLAIN}), ('denied', ${DENIED})):
    for n in range(many):
        try:
            s3.put_object(Bucket='numbers', Key=f'{folder}/${index}-{n}', Body=b'x' * ${SIZE})
            assert folder != 'denied'
        except ClientError as error:
            assert folder == 'denied' and error.response['Error']['Code'] == 'AccessDenied', error
`,
    );
  }
  // Alone in its bucket, so the sums of this bucket are known beforehand.
  const counted = async (outcome: string) =>
    ((await rest(central(), `/stats?by=outcome&bucket=numbers&outcome=${outcome}`)) as Figures).rows.reduce((sum, row) => sum + row.objects, 0);
  await expect.poll(() => counted('encrypted'), { timeout: 60_000 }).toBe(2 * ENCRYPTED);
  await expect.poll(() => counted('plain'), { timeout: 60_000 }).toBe(2 * PLAIN);
  await expect.poll(() => counted('denied'), { timeout: 60_000 }).toBe(2 * DENIED);

  await logInAtCentral(page);
  const tile = (name: string) => page.getByRole('region', { name, exact: true });
  /** Looks again until all sides of it agree, each read after the other. */
  const agree = (compare: () => Promise<void>) =>
    expect(async () => {
      await page.goto(`${central()}/`);
      await compare();
    }).toPass({ timeout: 60_000 });

  await agree(async () => {
    const encrypted = number(await big(tile('Objects encrypted')).innerText());
    expect(encrypted).toBeGreaterThanOrEqual(2 * ENCRYPTED);
    const told = stats(['encrypted']);
    expect(told.objects).toBe(encrypted);
    expect(await prometheus('sealgate_fleet_objects_total', ['encrypted'])).toBe(encrypted);
    expect(await prometheus('sealgate_fleet_bytes_total', ['encrypted'])).toBe(told.bytes);
    await big(tile('Objects encrypted')).click();
    expect(await sumOf(page, 'Objects in')).toBe(encrypted);
    expect(await sumOf(page, 'Data in')).toBe(told.bytes);
  });
  await agree(async () => {
    const plain = tile('Objects encrypted').getByRole('link').nth(1);
    const stored = number(await plain.innerText());
    expect(stored).toBeGreaterThanOrEqual(2 * PLAIN);
    expect(stats(PLAINLY).objects).toBe(stored);
    expect(await prometheus('sealgate_fleet_objects_total', PLAINLY)).toBe(stored);
    await plain.click();
    expect(await sumOf(page, 'Objects in')).toBe(stored);
  });
  await agree(async () => {
    await big(tile('Data protected')).click();
    expect(await sumOf(page, 'Data in')).toBe(stats(['encrypted']).bytes);
  });

  // Rows of other tables, one for each that is counted.
  for (const [name, table] of [
    ['Total gateways', 'gateways'],
    ['Virtual buckets used', 'buckets'],
  ] as const) {
    await agree(async () => {
      const value = number(await big(tile(name)).innerText());
      expect(value).toBeGreaterThan(0);
      await big(tile(name)).click();
      await expect(page.getByRole('region', { name: `Table of ${table}` }).locator('tbody tr')).toHaveCount(value, { timeout: 5_000 });
    });
  }
  await agree(async () => {
    const connected = await metric('sealgate_gateways', ['connection="connected"']);
    expect(connected).toBe(2);
    await expect(tile('Total gateways')).toContainText(`${connected} connected`, { timeout: 5_000 });
  });
});

interface Convergence {
  readonly revision: number;
  readonly gateways: number;
  readonly effective: number;
}

test('how far the policies are is the same on the tile, in its rows, at the interface and for Prometheus', async ({ page }) => {
  await logInAtCentral(page);
  const tile = page.getByRole('region', { name: 'Policy convergence', exact: true });
  const rows = page.getByRole('region', { name: 'Table of gateways' }).locator('tbody tr');
  /** Everything that tells of it says that the newest revision is effective at so many of two. */
  const agree = async (effective: number) => {
    const convergence = async () => (await rest(central(), '/convergence')) as Convergence;
    await expect.poll(convergence).toMatchObject({ gateways: 2, effective });
    const told = await convergence();
    await page.goto(`${central()}/`);
    await expect(big(tile)).toHaveText(`${effective} of 2`);
    await expect(tile).toContainText(`effective at revision ${told.revision},`);
    await expect.poll(() => metric('sealgate_policy_head_revision')).toBe(told.revision);
    await expect.poll(() => metric('sealgate_policy_gateways', ['progress="effective"'])).toBe(effective);
    await expect.poll(() => metric('sealgate_policy_gateways', ['progress="expected"'])).toBe(2);
    await expect(async () => expect(await metric('sealgate_policy_gateways', ['progress="refused"'])).toBe(await metric('sealgate_refusals'))).toPass({ timeout: 30_000 });
    await big(tile).click();
    await expect(rows).toHaveCount(2);
    await expect(rows.filter({ hasText: 'No request is decided by an older revision any more' })).toHaveCount(effective);
    return told.revision;
  };
  await rest(central(), '/policy-set/apply', { method: 'POST', body: POLICIES.replaceAll('numbers', 'converging') });
  const revision = await agree(2);
  for (const index of [0, 1]) await expect.poll(() => metric('sealgate_policy_revision', ['state="effective"'], gateway(index).metrics)).toBe(revision);

  const thaw = freeze(gateway(1).pid);
  try {
    await rest(central(), '/policy-set/apply', { method: 'POST', body: POLICIES.replaceAll('numbers', 'not-everywhere') });
    await agree(1);
    await page.goto(`${central()}/`);
    await tile.getByRole('link', { name: '1 not there yet' }).click();
    await expect(rows).toHaveCount(1);
    await expect(rows).toContainText(gateway(1).name);
  } finally {
    thaw();
  }
  await agree(2);
});

interface Kms {
  readonly id: string;
  readonly active: boolean;
  readonly key_versions: number;
}

test('what is said of the KMS is the same on the tile, in its rows, at the command line and for Prometheus', async ({ page }) => {
  await logInAtCentral(page);
  const tile = page.getByRole('region', { name: 'KMS health', exact: true });
  const configured = page.getByRole('region', { name: 'Table of KMS', exact: true });
  const { kms } = cli('kms', 'list') as { readonly kms: readonly Kms[] };
  expect(kms.length).toBeGreaterThan(0);
  // One storage, two gateways: each KMS once. Central has it by the inventories, which come now and then.
  const essence = (of: readonly Kms[]) => of.map(({ id, active, key_versions }) => ({ id, active, key_versions }));
  const known = async () => {
    const { inventories } = (await rest(central(), '/inventories')) as { readonly inventories: readonly { readonly content: { readonly kms: readonly Kms[] } }[] };
    return essence(inventories.flatMap((one) => one.content.kms));
  };
  await expect.poll(known, { timeout: 60_000 }).toEqual(essence(kms));
  // A call may come while the numbers are compared.
  await expect(async () => {
    await page.goto(`${central()}/`);
    await expect(big(tile)).toHaveText('Healthy');
    await expect(tile).toContainText(`${kms.length} of ${kms.length} ready`);
    const [calls, errors] = /([\d,]+) calls?, ([\d,]+) errors?/.exec(await tile.innerText())?.slice(1).map(number) ?? [];
    const { rows } = (await rest(central(), '/stats/kms')) as { readonly rows: readonly { readonly calls: number; readonly result: string }[] };
    expect(calls).toBe(rows.reduce((sum, row) => sum + row.calls, 0));
    expect(errors).toBe(rows.filter((row) => row.result === 'error').reduce((sum, row) => sum + row.calls, 0));
    expect(calls).toBeGreaterThan(0);
    expect(await metric('sealgate_fleet_kms', ['state="ready"'])).toBe(kms.length);
    expect(await metric('sealgate_fleet_kms', ['state="failing"'])).toBe(0);
    expect(await metric('sealgate_fleet_kms_calls_total')).toBe(calls);
    expect(await metric('sealgate_fleet_kms_calls_total', ['result="error"'])).toBe(errors);

    await big(tile).click();
    await expect(configured.locator('tbody tr')).toHaveCount(kms.length);
    for (const one of kms) await expect(configured.getByRole('row').filter({ hasText: one.id })).toContainText('ok');
    expect(await column(page, 'KMS calls', 'Calls')).toBe(calls);
  }).toPass({ timeout: 60_000 });
});

const EVER = ['encrypted', 'plain', 'would-encrypt', 'would-deny', 'error', 'grandfathered', 'indeterminate'];

test('each graph says what it adds up to, as its rows, the interface and the command line do', async ({ page }) => {
  boto3(
    0,
    `try:
    s3.create_bucket(Bucket='graphs')
except s3.exceptions.BucketAlreadyOwnedByYou:
    pass
for n in range(3):
    s3.put_object(Bucket='graphs', Key=str(n), Body=b'x' * ${SIZE})
    s3.get_object(Bucket='graphs', Key=str(n))['Body'].read()
`,
  );
  await expect.poll(() => stats(EVER).objects_read, { timeout: 60_000 }).toBeGreaterThanOrEqual(3);
  await logInAtCentral(page);

  /** What a person reads beside a line; exact where it is short. */
  const legend = async (graph: string, line: string): Promise<number> => {
    const item = page.getByRole('list', { name: `${graph}, sum over the range` }).getByRole('listitem').filter({ hasText: new RegExp(`^${line}`) });
    const told = item.locator('strong > span');
    return number((await told.getAttribute('title')) ?? (await told.innerText()));
  };
  const since = ['--since', '24h'];
  const denied = () => {
    const { objects, objects_read } = stats(['denied', 'failed'], since);
    return objects + objects_read;
  };
  const kms = async (labels: readonly string[] = []) => metric('sealgate_fleet_kms_calls_total', labels);
  // Graph, line, its column of the interface, the same from elsewhere, and the column of the rows that the graph leads to.
  const lines = [
    ['Data volume', 'Towards the storage', ['bytes_in'], () => stats(EVER, since).bytes, 'Data in'],
    ['Data volume', 'Towards clients', ['bytes_out'], () => stats(EVER, since).bytes_read, 'Data out'],
    ['Encrypted versus plain', 'Encrypted', ['bytes_encrypted'], () => stats(['encrypted'], since).bytes, undefined],
    ['Encrypted versus plain', 'Plain', ['bytes_plain'], () => stats(PLAINLY, since).bytes, undefined],
    ['Traffic in', 'Objects in', ['objects_in'], () => stats(EVER, since).objects, undefined],
    ['Traffic in', 'Denied or failed', ['denied', 'failed'], denied, undefined],
    ['Traffic out', 'Objects out', ['objects_out'], () => stats(EVER, since).objects_read, 'Objects out'],
    // All that this fleet ever asked its KMS is of today.
    ['KMS calls', 'Calls', ['kms_calls'], () => kms(), undefined],
    ['KMS calls', 'Errors', ['kms_errors'], () => kms(['result="error"']), undefined],
  ] as const;
  for (const [graph, line, columns, elsewhere, rows] of lines) {
    await test.step(`${graph}: ${line}`, () =>
      expect(async () => {
        await page.goto(`${central()}/?range=24h`);
        const read = page.getByRole('list', { name: `${graph}, sum over the range` });
        await expect(read).toContainText('Sum over the last 24 hours');
        await expect(read.getByRole('listitem').filter({ hasText: new RegExp(`^${line}`) })).toHaveText(graph.startsWith('Traffic') ? /\d objects$/ : graph === 'KMS calls' ? /\d calls$/ : /\d ([KMG]i)?B$/);
        const told = await legend(graph, line);
        const to = new Date();
        const from = new Date(to.getTime() - 86_400_000);
        const { points } = (await rest(central(), `/stats/series?from=${from.toISOString()}&to=${to.toISOString()}`)) as { readonly points: readonly Readonly<Record<string, number>>[] };
        expect(points.reduce((sum, point) => sum + columns.reduce((all, one) => all + (point[one] ?? NaN), 0), 0)).toBe(told);
        expect(await elsewhere()).toBe(told);
        if (rows !== undefined) {
          await page.getByRole('link', { name: `Rows of ${graph.toLowerCase()}` }).click();
          expect(await sumOf(page, rows)).toBe(told);
        }
      }).toPass({ timeout: 60_000 }));
  }
  await page.goto(`${central()}/`);
  expect(await legend('Traffic out', 'Objects out')).toBeGreaterThanOrEqual(3);
  // The table of a graph ends with the same.
  const volume = page.getByRole('region', { name: 'Data volume', exact: true });
  await volume.getByText('Table', { exact: true }).click();
  await expect(volume.locator('tfoot td').first().locator('span')).toHaveAttribute('title', `${(await legend('Data volume', 'Towards the storage')).toLocaleString('en-US')} bytes`);
});

interface Coverage {
  readonly coverage: readonly {
    readonly bucket: string;
    readonly objects_encrypted: number;
    readonly objects_plain: number;
    readonly objects_unknown: number | null;
    readonly bytes_plain: number;
  }[];
}

test('the coverage says what its rows add up to, and no number of what nobody counted', async ({ page }) => {
  boto3(
    0,
    `for bucket, many in (('covered-a', 2), ('covered-b', 3)):
    try:
        s3.create_bucket(Bucket=bucket)
    except s3.exceptions.BucketAlreadyOwnedByYou:
        pass
    for n in range(many):
        s3.put_object(Bucket=bucket, Key=str(n), Body=b'x')
`,
  );
  const rows = async (query = '') => ((await rest(central(), `/coverage${query}`)) as Coverage).coverage;
  await expect.poll(async () => (await rows('?bucket=covered-')).length, { timeout: 60_000 }).toBe(2);
  await logInAtCentral(page);
  const figure = (name: string) => page.getByRole('region', { name: 'Sum of the buckets shown' }).getByRole('region', { name, exact: true }).locator('.sg-big');
  const known = (value: number, least: boolean) => (!least ? value.toLocaleString('en-US') : value > 0 ? `at least ${value.toLocaleString('en-US')}` : 'not counted');
  for (const query of ['', '?bucket=covered-']) {
    await expect(async () => {
      const found = await rows(query);
      const least = found.some((row) => row.objects_unknown === null);
      const sum = (of: 'objects_encrypted' | 'objects_plain' | 'objects_unknown') => found.reduce((all, row) => all + (row[of] ?? 0), 0);
      await page.goto(`${central()}/coverage${query.replace('bucket', 'q')}`);
      await expect(figure('Buckets shown')).toHaveText(String(found.length));
      await expect(figure('Objects encrypted')).toHaveText(known(sum('objects_encrypted'), least), { timeout: 2_000 });
      await expect(figure('Objects plain')).toHaveText(known(sum('objects_plain'), least), { timeout: 2_000 });
      await expect(figure('Objects unknown')).toHaveText(known(sum('objects_unknown'), least), { timeout: 2_000 });
      if (query !== '') return;
      // The overview says the same.
      await page.goto(`${central()}/`);
      const tile = page.getByRole('region', { name: 'Virtual buckets used', exact: true });
      await expect(tile).toContainText(`Objects encrypted: ${known(sum('objects_encrypted'), least)}, plain: ${known(sum('objects_plain'), least)}`, { timeout: 2_000 });
    }).toPass({ timeout: 60_000 });
  }

  // Buckets as a gateway tells them before it has looked through them: one of which it saw nothing pass, one of which it saw two.
  await page.route('**/api/v1/coverage?*', async (route) => {
    const answer = await route.fetch();
    const { coverage, ...rest } = (await answer.json()) as Coverage;
    const changed = coverage.map((row) => ({ ...row, objects_unknown: null, looked_age_s: null, objects_plain: row.bucket === 'covered-b' ? 2 : 0, bytes_plain: 0 }));
    await route.fulfill({ response: answer, json: { ...rest, coverage: changed } });
  });
  await page.goto(`${central()}/coverage?q=covered-`);
  const table = page.getByRole('region', { name: 'Table of buckets' });
  await expect(table.getByRole('columnheader', { name: 'Plain' })).toBeVisible();
  const plain = (await table.getByRole('columnheader').allInnerTexts()).findIndex((head) => head.startsWith('Plain'));
  const cell = (bucket: string) => table.getByRole('row').filter({ hasText: bucket }).getByRole('cell').nth(plain);
  await expect(cell('covered-a')).toHaveText('not counted');
  await expect(cell('covered-b')).toContainText('at least 2');
  await expect(figure('Objects plain')).toHaveText('at least 2');
  // All of it is in sight on a desktop.
  expect(await table.evaluate((element) => element.scrollWidth - element.clientWidth)).toBeLessThanOrEqual(0);
  // What is being answered otherwise at this moment is no longer waited for.
  await page.unrouteAll({ behavior: 'ignoreErrors' });
});
