import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { boto3, central, gateway, ready, rest } from './service';
import { expect, inSidebar, logInAtGateway, test } from './test';

const PASSPHRASE = 'of the master key';

/** An RSA key as an operator has it: PEM, encrypted under a passphrase. */
const pem = (): Buffer => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 3072 });
  return Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: PASSPHRASE }));
};

/** Whether these bytes lie anywhere in the storage. */
function lies(bytes: Buffer, folder = join(ready().data_dir, 'storage')): boolean {
  return readdirSync(folder).some((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? lies(bytes, path) : readFileSync(path).includes(bytes);
  });
}

test('story two: a key is uploaded and activated, a bucket switched on, an object goes up and comes down and says why it is encrypted', async ({ page }) => {
  boto3(0, `s3.create_bucket(Bucket='records')\ns3.put_object(Bucket='records', Key='before.txt', Body=b'plain')`);
  await logInAtGateway(page, 0);

  await inSidebar(page, 'KMS').click();
  await expect(page.getByText('There is no KMS')).toBeVisible();
  await page.getByRole('button', { name: 'Add a KMS' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('KMS ID').fill('records-key');
  await dialog.locator('input[type=file]').setInputFiles({ name: 'master.pem', mimeType: 'application/x-pem-file', buffer: pem() });
  // The wrong passphrase is refused in words, and what was filled in stays.
  await dialog.getByLabel('Passphrase', { exact: true }).fill('not this one');
  await dialog.getByRole('switch', { name: 'Activate it' }).press('Space');
  await expect(dialog.getByRole('switch', { name: 'Activate it' })).not.toBeChecked();
  await dialog.getByRole('button', { name: 'Add it' }).click();
  await expect(dialog.getByRole('alert')).toContainText('passphrase');
  await expect(dialog.getByLabel('KMS ID')).toHaveValue('records-key');
  await dialog.getByLabel('Passphrase', { exact: true }).fill(PASSPHRASE);
  await dialog.getByRole('button', { name: 'Add it' }).click();
  await expect(dialog).toBeHidden();
  const kms = page.getByRole('region', { name: 'records-key', exact: true });
  await expect(kms).toContainText('can be used');
  await expect(kms).not.toContainText('active:');
  await kms.getByRole('button', { name: 'Activate records-key' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Activate' }).click();
  await expect(kms).toContainText('active: new objects are encrypted under it');

  await inSidebar(page, 'Buckets').click();
  const row = page.getByRole('row').filter({ hasText: 'records' });
  await expect(row).toContainText('stored as they are');
  await row.getByRole('switch', { name: 'Encryption of records' }).press('Space');
  await page.getByRole('dialog').getByRole('button', { name: 'Switch on' }).click();
  await expect(row.getByRole('switch')).toBeChecked();
  await expect(row).toContainText('its switch');

  await row.getByRole('link', { name: 'records' }).click();
  const body = randomBytes(3 << 20);
  await page.locator('input[type=file]').setInputFiles({ name: 'march.bin', mimeType: 'application/octet-stream', buffer: body });
  await expect(page.getByRole('region', { name: 'Uploads' })).toContainText('stored, encrypted');
  const objects = page.getByRole('row');
  await expect(objects.filter({ hasText: 'march.bin' })).toContainText('encrypted');
  await expect(objects.filter({ hasText: 'before.txt' })).toContainText('plain');
  expect(lies(body.subarray(0, 64))).toBe(false);

  await objects.filter({ hasText: 'march.bin' }).getByRole('link', { name: 'march.bin' }).click();
  const status = page.getByRole('dialog');
  await expect(status).toContainText('encrypted, verified with its key');
  await expect(status).toContainText('The switch of the bucket was on.');
  await expect(status).toContainText('records-key');
  const downloading = page.waitForEvent('download');
  await status.getByRole('button', { name: 'Download' }).click();
  const path = await (await downloading).path();
  expect(readFileSync(path).equals(body)).toBe(true);
  await page.keyboard.press('Escape');
  await expect(status).toBeHidden();

  // A policy of Central's asks for it in another bucket, where no switch is on: the object says which, at which revision.
  boto3(0, `s3.create_bucket(Bucket='by-policy')`);
  const text = 'apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: { name: from-central }\nspec:\n  buckets: [by-policy]\n  effect: encrypt\n';
  await rest(central(), '/policy-set/apply', { method: 'POST', body: text });
  await expect.poll(async () => ((await rest(central(), '/convergence')) as { readonly effective: number }).effective).toBe(1);
  boto3(0, `s3.put_object(Bucket='by-policy', Key='april.txt', Body=b'4711')`);
  await page.goto(`${gateway(0).console}/objects?bucket=by-policy&key=april.txt`);
  await expect(page.getByRole('dialog')).toContainText(/from-central.*at revision 1/);

  // Without a bucket, they are all there with what becomes of new objects, as the way in.
  await page.goto(`${gateway(0).console}/objects`);
  await expect(page.getByRole('row').filter({ hasText: 'records' })).toContainText(/encrypted.*its switch/);
  const other = page.getByRole('row').filter({ hasText: 'by-policy' });
  await expect(other).toContainText(/^by-policyencryptedpolicy from-central/);
  await other.getByRole('link', { name: 'by-policy' }).click();
  await expect(page.getByRole('link', { name: 'april.txt' })).toBeVisible();
  await page.getByRole('navigation', { name: 'Folder' }).getByRole('link', { name: 'All buckets' }).click();
  await expect(other).toBeVisible();
});

test('an object that is there already is replaced only when that is asked for, and deleted only by its name', async ({ page }) => {
  boto3(0, `s3.create_bucket(Bucket='twice')\ns3.put_object(Bucket='twice', Key='kept.txt', Body=b'first')`);
  await logInAtGateway(page, 0);
  await page.goto(`${gateway(0).console}/objects?bucket=twice`);
  await page.locator('input[type=file]').setInputFiles({ name: 'kept.txt', mimeType: 'text/plain', buffer: Buffer.from('second') });
  const uploads = page.getByRole('region', { name: 'Uploads' });
  await expect(uploads.getByRole('alert')).toContainText('There is an object of that name already; nothing was changed.');
  expect(boto3(0, `print(s3.get_object(Bucket='twice', Key='kept.txt')['Body'].read())`)).toContain('first');
  await uploads.getByRole('button', { name: /^Replace it/ }).click();
  await expect(uploads).toContainText('stored');
  expect(boto3(0, `print(s3.get_object(Bucket='twice', Key='kept.txt')['Body'].read())`)).toContain('second');

  await page.getByRole('button', { name: 'Delete kept.txt' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByRole('button', { name: 'Delete' })).toBeDisabled();
  await dialog.getByRole('textbox').fill('kept.txt');
  await page.keyboard.press('Enter');
  await expect(page.getByText('The bucket is empty')).toBeVisible();
  expect(boto3(0, `print(s3.list_objects_v2(Bucket='twice')['KeyCount'])`).trim()).toBe('0');
});
