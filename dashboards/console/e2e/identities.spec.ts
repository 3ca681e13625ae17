import { boto3, gateway } from './service';
import { expect, inSidebar, logInAtGateway, test } from './test';

test('a credential is given an identity at a storage, keeps its secret through a change, and loses it', async ({ page }) => {
  boto3(0, `s3.create_bucket(Bucket='shared')\ns3.put_object(Bucket='shared', Key='k', Body=b'4711')`);
  await logInAtGateway(page, 0);
  await inSidebar(page, 'Credentials').click();
  const row = page.getByRole('row').filter({ hasText: gateway(0).access_key });
  const dialog = page.getByRole('dialog');
  await row.getByRole('button', { name: /^Edit/ }).click();
  await dialog.getByRole('button', { name: 'Add an identity' }).click();
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog.getByText('Which key of the storage?')).toBeVisible();
  await dialog.getByLabel('Access key there').fill('reader-there');
  await dialog.getByLabel('Secret key there', { exact: true }).fill('secret of the reader');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog).toBeHidden();
  await expect(row).toContainText('reader-there');
  // What it may here the storage does not let it do any more.
  const tried = `print(s3.get_object(Bucket='shared', Key='k')['Body'].read().decode())
try: s3.put_object(Bucket='shared', Key='k', Body=b'other')
except Exception as error: print(error.response['Error']['Code'])`;
  expect(boto3(0, tried).split('\n').filter((line) => line !== '')).toEqual(['4711', 'AccessDenied']);

  // The secret is asked for with another key only, and stays where nothing is said of it.
  await row.getByRole('button', { name: /^Edit/ }).click();
  await expect(dialog.getByText('Empty: the one that is there stays')).toBeVisible();
  await dialog.getByRole('textbox', { name: 'Name', exact: true }).fill('a reader');
  await dialog.getByLabel('Access key there').fill('another');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog.getByText('It belongs to the access key')).toBeVisible();
  await dialog.getByLabel('Access key there').fill('reader-there');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog).toBeHidden();
  await expect(row).toContainText('a reader');
  expect(boto3(0, tried).split('\n').filter((line) => line !== '')).toEqual(['4711', 'AccessDenied']);

  await row.getByRole('button', { name: /^Edit/ }).click();
  await dialog.getByRole('button', { name: 'Take identity 1 away' }).click();
  await dialog.getByRole('button', { name: 'Save' }).click();
  await expect(dialog).toBeHidden();
  await expect(page.getByRole('columnheader', { name: 'At storages' })).toHaveCount(0);
  boto3(0, `s3.put_object(Bucket='shared', Key='k', Body=b'other')`);
});
