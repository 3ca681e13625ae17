import { execFileSync } from 'node:child_process';

import type { Locator, Page } from '@playwright/test';

import { boto3, central, needed, ready, rest } from './service';
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
  readonly rows: readonly { readonly outcome: string; readonly objects: number; readonly bytes: number }[];
}

/** `Objects in` or `Data in` of a figures table, summed as a reader would. */
async function sumOf(page: Page, head: string): Promise<number> {
  const table = page.getByRole('region', { name: 'Table of figures' });
  await expect(table.getByRole('row').nth(1)).toBeVisible();
  const heads = await table.getByRole('columnheader').allInnerTexts();
  const column = heads.findIndex((one) => one.startsWith(head));
  expect(column, `a column ${head}`).toBeGreaterThanOrEqual(0);
  // What is short on the page is exact in its title.
  const told = await table
    .locator('tbody tr')
    .evaluateAll((rows, at) => rows.map((row) => row.children[at]?.querySelector('[title]')?.getAttribute('title') ?? row.children[at]?.textContent ?? ''), column);
  return told.reduce((sum, one) => sum + number(one.replace(' bytes', '')), 0);
}

const number = (text: string): number => Number(text.replaceAll(/[^0-9]/g, ''));

/** The sum of a counter of Central's, over the outcomes, of what came in. */
async function prometheus(name: string, outcomes: readonly string[]): Promise<number> {
  const text = await (await fetch(ready().central.metrics)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) && line.includes('direction="in"') && outcomes.some((one) => line.includes(`outcome="${one}"`)))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** The same from the command line. */
function stats(outcomes: readonly string[]): { readonly objects: number; readonly bytes: number } {
  const text = execFileSync(needed('SEALGATE_PROGRAM'), ['--ready-file', needed('SEALGATE_READY_FILE'), '--json', 'stats'], { encoding: 'utf8' });
  const rows = (JSON.parse(text) as Figures).rows.filter((row) => outcomes.includes(row.outcome));
  return { objects: rows.reduce((sum, row) => sum + row.objects, 0), bytes: rows.reduce((sum, row) => sum + row.bytes, 0) };
}

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
  const encrypted = number(await big(tile('Objects encrypted')).innerText());
  expect(encrypted).toBeGreaterThanOrEqual(2 * ENCRYPTED);
  const told = stats(['encrypted']);
  expect(told.objects).toBe(encrypted);
  await expect.poll(() => prometheus('sealgate_fleet_objects_total', ['encrypted']), { timeout: 60_000 }).toBe(encrypted);
  expect(await prometheus('sealgate_fleet_bytes_total', ['encrypted'])).toBe(told.bytes);

  await big(tile('Objects encrypted')).click();
  expect(await sumOf(page, 'Objects in')).toBe(encrypted);
  expect(await sumOf(page, 'Data in')).toBe(told.bytes);

  await page.goBack();
  const plain = tile('Objects encrypted').getByRole('link').nth(1);
  const stored = number(await plain.innerText());
  expect(stored).toBe(stats(['plain', 'would-encrypt', 'would-deny']).objects);
  expect(stored).toBe(await prometheus('sealgate_fleet_objects_total', ['plain', 'would-encrypt', 'would-deny']));
  await plain.click();
  expect(await sumOf(page, 'Objects in')).toBe(stored);

  await page.goBack();
  await big(tile('Data protected')).click();
  expect(await sumOf(page, 'Data in')).toBe(told.bytes);

  // Rows of other tables, one for each that is counted.
  for (const [name, table] of [
    ['Total gateways', 'gateways'],
    ['Virtual buckets used', 'buckets'],
  ] as const) {
    await page.goto(`${central()}/`);
    const value = number(await big(tile(name)).innerText());
    await big(tile(name)).click();
    await expect(page.getByRole('region', { name: `Table of ${table}` }).locator('tbody tr')).toHaveCount(value);
  }
  const gateways = await (await fetch(ready().central.metrics)).text();
  const connected = gateways.split('\n').filter((line) => line.startsWith('sealgate_gateways{') && line.includes('connection="connected"')).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  await page.goto(`${central()}/`);
  await expect(tile('Total gateways')).toContainText(`${connected} connected`);
});
