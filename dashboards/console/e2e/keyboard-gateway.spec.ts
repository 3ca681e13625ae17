import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';

import type { Download, Locator, Page } from '@playwright/test';

import { boto3, central, gateway, rest } from './service';
import { expect, inSidebar, ofItsDialog, pickByArrows, pickInMenu, reach, test } from './test';

const PASSPHRASE = 'typed twice by an operator';

/** What shows where the keyboard is; a field of text shows it by its caret. */
async function seen(page: Page): Promise<void> {
  const how = () =>
    page.evaluate(() => {
      const at = document.activeElement;
      if (!(at instanceof HTMLElement) || at === document.body) return 'the keyboard is nowhere';
      if (at instanceof HTMLTextAreaElement || (at instanceof HTMLInputElement && !['checkbox', 'radio'].includes(at.type))) return 'seen';
      const outlined = (element: Element) => {
        const style = getComputedStyle(element);
        return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
      };
      // A switch is drawn beside what has the focus.
      const drawn = at instanceof HTMLInputElement ? [at, ...(at.parentElement?.querySelectorAll('*') ?? [])] : [at];
      return drawn.some(outlined) ? 'seen' : `nothing shows that the keyboard is at ${at.outerHTML.slice(0, 200)}`;
    });
  // It may be drawn a little after the keyboard is there.
  await expect.poll(how).toBe('seen');
}

/** Goes there by Tab, sees where that is, and presses a key. */
async function press(page: Page, there: Locator, key = 'Enter'): Promise<void> {
  await reach(page, there);
  await seen(page);
  await page.keyboard.press(key);
}

/** Goes to a field by Tab, and types over what is there. */
async function write(page: Page, field: Locator, text: string): Promise<void> {
  await reach(page, field);
  await page.keyboard.press('Control+A');
  await page.keyboard.type(text);
}

/** Chooses that the key is made in place. What can be chosen is drawn beside the radio buttons, which have no size. */
async function makeInPlace(page: Page): Promise<void> {
  const radio = page.getByRole('dialog').getByRole('radio', { name: 'Upload an RSA key' });
  await expect(radio).toBeAttached();
  await ofItsDialog(radio);
  for (let steps = 0; steps < 20 && !(await radio.evaluate((one) => one === document.activeElement)); steps += 1) await page.keyboard.press('Tab');
  await expect(radio).toBeFocused();
  await seen(page);
  await page.keyboard.press('ArrowRight');
  await expect(page.getByRole('dialog').getByRole('radio', { name: 'Make one in place' })).toBeChecked();
}

/** Goes back by Shift and Tab, as from the middle of a long table. */
async function reachBack(page: Page, there: Locator): Promise<void> {
  for (let steps = 0; steps < 120; steps += 1) {
    if (await there.evaluate((element) => element.contains(document.activeElement))) return;
    await page.keyboard.press('Shift+Tab');
  }
  throw new Error(`the keyboard does not come back to ${there.toString()}`);
}

/** Types into the field of a dialog that has the keyboard by itself once it is open. */
async function fill(page: Page, text: string): Promise<void> {
  await expect(page.getByRole('dialog').locator('input:focus')).toBeVisible();
  await page.keyboard.type(text);
}

/** The dialog has gone, and the keyboard is where it was before, or, where that has gone too, on the page. */
async function back(page: Page, there?: Locator): Promise<void> {
  await expect(page.getByRole('dialog')).toHaveCount(0);
  if (there) await expect(there).toBeFocused();
  await expect.poll(() => page.evaluate(() => document.activeElement !== document.body)).toBe(true);
}

/** What the browser downloads once the key is pressed. */
async function downloaded(page: Page, there: Locator): Promise<Download> {
  const downloading = page.waitForEvent('download');
  await press(page, there);
  return await downloading;
}

/** Gives files to the chooser that a key opens. */
async function choose(page: Page, there: Locator, name: string, buffer: Buffer): Promise<void> {
  const choosing = page.waitForEvent('filechooser');
  await press(page, there);
  await (await choosing).setFiles({ name, mimeType: 'application/octet-stream', buffer });
}

/** Opens a page by the sidebar. */
async function open(page: Page, name: string): Promise<void> {
  await press(page, inSidebar(page, name));
  await expect(page.getByRole('heading', { level: 1, name })).toBeVisible();
}

async function logIn(page: Page): Promise<void> {
  await page.goto(`${gateway(0).console}/`);
  await write(page, page.getByLabel('API token', { exact: true }), gateway(0).token);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1, name: 'Dashboard' })).toBeVisible();
}

const dialog = (page: Page): Locator => page.getByRole('dialog');

test('the frame is used by keyboard: skip, fold the sidebar, search, appearance, log out', async ({ page }) => {
  await page.goto(`${gateway(0).console}/`);
  await press(page, page.getByRole('button', { name: 'Show the api token' }));
  await expect(page.getByLabel('API token', { exact: true })).toHaveAttribute('type', 'text');
  await logIn(page);

  await page.reload();
  await expect(page.getByRole('heading', { level: 1, name: 'Dashboard' })).toBeVisible();
  await press(page, page.getByRole('link', { name: 'Skip to the page' }));
  await expect(page.getByRole('main')).toBeFocused();

  const sidebar = page.getByRole('button', { name: 'Sidebar' });
  await press(page, sidebar, 'Space');
  await expect(sidebar).toHaveAttribute('aria-expanded', 'false');
  await press(page, sidebar, 'Space');
  await expect(sidebar).toHaveAttribute('aria-expanded', 'true');

  await page.keyboard.press('Control+k');
  await expect(page.getByRole('combobox', { name: 'Search' })).toBeFocused();
  await page.keyboard.type('buck');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1, name: 'Buckets' })).toBeVisible();
  const search = page.getByRole('button', { name: /^Search pages/ });
  await press(page, search);
  await page.keyboard.press('Escape');
  await back(page, search);

  const appearance = page.getByRole('button', { name: 'Appearance' });
  await press(page, appearance);
  await pickInMenu(page, 'Dark');
  await expect(page.locator('html[data-mantine-color-scheme=dark]')).toBeAttached();
  await back(page, appearance);

  await open(page, 'Dashboard');
  const range = page.getByRole('combobox', { name: 'Range of the graphs' });
  await reach(page, range);
  await seen(page);
  await pickByArrows(page, range, 'Last hour');
  await expect(page).toHaveURL(/range=/);

  await press(page, page.getByRole('button', { name: /^Account / }));
  await pickInMenu(page, 'Log out');
  await expect(page.getByRole('heading', { level: 1, name: 'Log in' })).toBeVisible();
});

test('keys are uploaded, made in place, copied, activated, rotated and removed by keyboard', async ({ page }) => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 3072 });
  const pem = Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: PASSPHRASE }));
  await logIn(page);
  await open(page, 'KMS');

  const add = page.getByRole('button', { name: 'Add a KMS' }).first();
  await press(page, add);
  await expect(dialog(page).getByLabel('KMS ID')).toBeFocused();
  await fill(page, 'by-file');
  await choose(page, dialog(page).getByRole('button', { name: 'Private key' }), 'master.pem', pem);
  await write(page, dialog(page).getByLabel('Passphrase', { exact: true }), PASSPHRASE);
  await press(page, dialog(page).getByRole('button', { name: 'Show the passphrase' }));
  await expect(dialog(page).getByLabel('Passphrase', { exact: true })).toHaveAttribute('type', 'text');
  await press(page, dialog(page).getByRole('button', { name: 'Add it' }));
  await back(page, add);
  const first = page.getByRole('region', { name: 'by-file', exact: true });
  await expect(first).toContainText('can be used');
  await press(page, first.getByRole('button', { name: 'Test by-file' }));
  await expect(page.getByText('by-file works')).toBeVisible();

  // Made in place: with a copy, which is kept.
  await press(page, add);
  await fill(page, 'made-here');
  await makeInPlace(page);
  const length = dialog(page).getByRole('combobox', { name: 'Length' });
  await reach(page, length);
  await seen(page);
  await pickByArrows(page, length, '3,072 bits');
  await expect(length).toHaveValue('3,072 bits');
  await write(page, dialog(page).getByLabel('Passphrase of the copy'), PASSPHRASE);
  await write(page, dialog(page).getByLabel('The passphrase again'), 'something else');
  await expect(dialog(page)).toContainText('This is not the same.');
  await expect(dialog(page).getByRole('button', { name: 'Add it' })).toBeDisabled();
  await write(page, dialog(page).getByLabel('The passphrase again'), PASSPHRASE);
  const copy = await downloaded(page, dialog(page).getByRole('button', { name: 'Add it' }));
  expect(copy.suggestedFilename()).toMatch(/^sealgate-kms-made-here-[0-9a-f]{16}\.pem$/);
  expect(readFileSync(await copy.path(), 'utf8')).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----/);
  const keep = page.getByRole('dialog', { name: 'Keep the copy of made-here' });
  await expect(keep).toBeVisible();
  await press(page, keep.getByRole('button', { name: 'Later' }));
  await back(page, add);
  const made = page.getByRole('region', { name: 'made-here', exact: true });
  await expect(made).toContainText('none is recorded');
  await expect(page.getByText('A key exists here only, as far as is known')).toBeVisible();
  await open(page, 'Dashboard');
  await expect(page.getByText('no backup of it is recorded')).toBeVisible();
  await open(page, 'KMS');

  const take = made.getByRole('button', { name: 'Download a copy of version 1 of made-here' });
  await press(page, take);
  await expect(dialog(page).getByLabel('Reason')).toBeFocused();
  await fill(page, 'the first one is lost');
  await write(page, dialog(page).getByLabel('Passphrase of the copy'), PASSPHRASE);
  await write(page, dialog(page).getByLabel('The passphrase again'), PASSPHRASE);
  const another = await downloaded(page, dialog(page).getByRole('button', { name: 'Download' }));
  expect(another.suggestedFilename()).toBe(copy.suggestedFilename());
  await press(page, keep.getByRole('checkbox'), 'Space');
  await press(page, keep.getByRole('button', { name: 'Backup is done' }));
  await back(page, take);
  await expect(made).toContainText(/done .* by first start/);

  const activate = made.getByRole('button', { name: 'Activate made-here' });
  await press(page, activate);
  await press(page, dialog(page).getByRole('button', { name: 'Activate' }));
  await back(page);
  await expect(made).toContainText('active: new objects');

  // Without a copy: the reminder is there until somebody says that it is kept.
  const rotate = made.getByRole('button', { name: 'Rotate made-here' });
  await press(page, rotate);
  await makeInPlace(page);
  await press(page, dialog(page).getByRole('switch', { name: 'Download a copy of the key' }), 'Space');
  await expect(dialog(page)).toContainText('The key will exist here only');
  await press(page, dialog(page).getByRole('button', { name: 'Rotate' }));
  await back(page, rotate);
  const kept = made.getByRole('button', { name: 'Backup is done of version 2 of made-here' });
  await press(page, kept);
  await press(page, dialog(page).getByRole('checkbox'), 'Space');
  await press(page, dialog(page).getByRole('button', { name: 'Backup is done' }));
  await back(page);
  await expect(kept).toHaveCount(0);

  await press(page, made.getByRole('button', { name: 'Remove of version 1 of made-here' }));
  await fill(page, 'made-here 1');
  await page.keyboard.press('Enter');
  await back(page);
  await expect(made.getByRole('row')).toHaveCount(2);
  const remove = first.getByRole('button', { name: 'Remove by-file' });
  await press(page, remove);
  await page.keyboard.press('Escape');
  await back(page, remove);
  await page.keyboard.press('Enter');
  await fill(page, 'by-file');
  await page.keyboard.press('Enter');
  await back(page);
  await expect(first).toHaveCount(0);
});

test('a bucket is made, switched, set and removed by keyboard', async ({ page }) => {
  await logIn(page);
  await open(page, 'Buckets');
  const make = page.getByRole('button', { name: 'New bucket' }).first();
  await press(page, make);
  await expect(dialog(page).getByLabel('Name')).toBeFocused();
  await fill(page, 'By_Keyboard');
  await page.keyboard.press('Enter');
  await expect(dialog(page)).toContainText('lower-case letters a to z, digits, dots and hyphens only');
  await write(page, dialog(page).getByLabel('Name'), 'by-keyboard');
  await page.keyboard.press('Enter');
  await back(page, make);
  const row = page.getByRole('row').filter({ hasText: 'by-keyboard' });
  await expect(row).toContainText('stored as they are');
  await press(page, make);
  await fill(page, 'by-keyboard');
  await page.keyboard.press('Enter');
  await expect(dialog(page).getByRole('alert')).toContainText('there is a bucket by-keyboard already');
  await page.keyboard.press('Escape');
  await back(page, make);

  const toggle = row.getByRole('switch', { name: 'Encryption of by-keyboard' });
  await press(page, toggle, 'Space');
  await press(page, dialog(page).getByRole('button', { name: 'Switch on' }));
  await back(page, toggle);
  await expect(toggle).toBeChecked();
  const settings = row.getByRole('button', { name: 'Settings of by-keyboard' });
  await press(page, settings);
  await press(page, dialog(page).getByRole('switch', { name: 'Refuse to read plain objects' }), 'Space');
  await press(page, dialog(page).getByRole('button', { name: 'Save' }));
  await back(page, settings);
  expect(await rest(gateway(0).console, '/buckets/by-keyboard')).toMatchObject({ refuse_plain_reads: true, encrypt: true });
  await press(page, toggle, 'Space');
  await fill(page, 'by-keyboard');
  await page.keyboard.press('Enter');
  await back(page, toggle);
  await expect(toggle).not.toBeChecked();

  // In order, and as a file.
  await press(page, page.getByRole('columnheader', { name: 'Bucket' }).getByRole('button'));
  await expect(page).toHaveURL(/sort=bucket/);
  expect((await downloaded(page, page.getByRole('button', { name: 'Export CSV' }))).suggestedFilename()).toMatch(/^sealgate-buckets-.*\.csv$/);
  await write(page, page.getByRole('textbox', { name: 'Bucket' }), 'by-key');
  await expect(page).toHaveURL(/q=by-key/);

  boto3(0, `s3.put_object(Bucket='by-keyboard', Key='in-the-way', Body=b'1')`);
  const remove = row.getByRole('button', { name: 'Remove by-keyboard' });
  await press(page, remove);
  await fill(page, 'by-keyboard');
  await page.keyboard.press('Enter');
  await expect(dialog(page).getByRole('alert')).toContainText('not empty');
  await page.keyboard.press('Escape');
  await back(page, remove);
  boto3(0, `s3.delete_object(Bucket='by-keyboard', Key='in-the-way')`);
  await press(page, remove);
  await fill(page, 'by-keyboard');
  await page.keyboard.press('Enter');
  await back(page);
  await expect(row).toHaveCount(0);
});

test('objects are browsed, uploaded, looked at, downloaded and deleted by keyboard', async ({ page }) => {
  boto3(0, `s3.create_bucket(Bucket='objects')\nfor n in range(450): s3.put_object(Bucket='objects', Key=f'many/{n:04}', Body=b'x')`);
  await logIn(page);
  await open(page, 'Objects');
  await press(page, page.getByRole('link', { name: 'objects', exact: true }));
  await expect(page.getByRole('link', { name: 'many/' })).toBeVisible();

  const upload = page.getByRole('button', { name: 'Upload files' });
  await choose(page, upload, 'one.txt', Buffer.from('the first'));
  const uploads = page.getByRole('region', { name: 'Uploads' });
  await expect(uploads).toContainText('stored as it is');
  await choose(page, upload, 'one.txt', Buffer.from('the second'));
  await press(page, uploads.getByRole('button', { name: /^Replace it/ }));
  await expect(uploads.getByText('stored as it is')).toHaveCount(2);
  await press(page, uploads.getByRole('button', { name: 'Clear the list' }));
  await expect(uploads).toHaveCount(0);
  await expect.poll(() => page.evaluate(() => document.activeElement !== document.body)).toBe(true);

  const get = page.getByRole('button', { name: 'Download one.txt' });
  expect(readFileSync(await (await downloaded(page, get)).path(), 'utf8')).toBe('the second');
  const object = page.getByRole('link', { name: 'one.txt' });
  await press(page, object);
  await expect(dialog(page)).toContainText('plain: stored as it came');
  expect(readFileSync(await (await downloaded(page, dialog(page).getByRole('button', { name: 'Download' }))).path(), 'utf8')).toBe('the second');
  const inside = dialog(page).getByRole('button', { name: 'Delete' });
  await press(page, inside);
  const asked = page.getByRole('dialog', { name: 'Delete this object?' });
  await expect(asked).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(asked).toHaveCount(0);
  await expect(inside).toBeFocused();
  await page.keyboard.press('Escape');
  await back(page, object);

  await press(page, page.getByRole('link', { name: 'many/' }));
  await expect(page.getByRole('link', { name: '0000' })).toBeVisible();
  await press(page, page.getByRole('region', { name: 'Table of objects of objects' }), 'End');
  await expect(page.getByRole('status').filter({ hasText: '400 objects of objects loaded' })).toBeVisible();
  await page.keyboard.press('End');
  await expect(page.getByText('450 rows')).toBeVisible();
  await page.keyboard.press('Home');
  await reachBack(page, page.getByRole('textbox', { name: 'Key begins with' }));
  await write(page, page.getByRole('textbox', { name: 'Key begins with' }), 'many/000');
  await page.keyboard.press('Enter');
  await expect(page.getByText('10 rows')).toBeVisible();
  await press(page, page.getByRole('switch', { name: 'Without folders' }), 'Space');
  await expect(page).toHaveURL(/flat=true/);
  await press(page, page.getByRole('button', { name: 'Reload' }));
  await press(page, page.getByRole('navigation', { name: 'Folder' }).getByRole('link', { name: 'objects' }));
  await expect(object).toBeVisible();

  await press(page, page.getByRole('button', { name: 'Delete one.txt' }));
  await fill(page, 'one.txt');
  await page.keyboard.press('Enter');
  await back(page);
  await expect(object).toHaveCount(0);
  await expect.poll(() => page.evaluate(() => document.activeElement !== document.body)).toBe(true);

  const bucket = page.getByRole('combobox', { name: 'Bucket' });
  await press(page, bucket, 'ArrowDown');
  await expect(bucket).toHaveAttribute('aria-expanded', 'true');
  await page.keyboard.press('Escape');
  await expect(bucket).toHaveAttribute('aria-expanded', 'false');
  await press(page, page.getByRole('navigation', { name: 'Folder' }).getByRole('link', { name: 'All buckets' }));
  await expect(page).toHaveURL(/\/objects$/);
});

test('credentials are made, changed and removed, and tokens made and revoked, by keyboard', async ({ page }) => {
  await logIn(page);
  await open(page, 'Credentials');
  const add = page.getByRole('button', { name: 'New credential' }).first();
  await press(page, add);
  await expect(dialog(page).getByLabel('Name')).toBeFocused();
  await fill(page, 'robot');
  await write(page, dialog(page).getByRole('combobox', { name: 'In the buckets' }), 'logs-*');
  await page.keyboard.press('Enter');
  await press(page, dialog(page).getByRole('checkbox').first(), 'Space');
  await press(page, dialog(page).getByRole('checkbox').first(), 'Space');
  await press(page, dialog(page).getByRole('button', { name: 'Add a grant' }));
  await write(page, dialog(page).getByRole('combobox', { name: 'In the buckets' }).last(), 'in');
  await page.keyboard.press('Enter');
  await press(page, dialog(page).getByRole('button', { name: 'Take grant 2 away' }));
  await expect(dialog(page).getByRole('combobox', { name: 'In the buckets' })).toHaveCount(1);
  await press(page, dialog(page).getByRole('button', { name: 'Make the credential' }));
  const shown = page.getByRole('dialog', { name: 'Credential robot' });
  await expect(shown).toContainText('The secret key is shown once');
  await press(page, shown.getByRole('button', { name: 'I have kept it' }));
  await back(page, add);
  const row = page.getByRole('row').filter({ hasText: 'robot' });
  await expect(row).toContainText('logs-*');

  const edit = row.getByRole('button', { name: 'Edit robot' });
  await press(page, edit);
  await write(page, dialog(page).getByRole('combobox', { name: 'In the buckets' }), '');
  await page.keyboard.press('Backspace');
  await page.keyboard.type('audit-*');
  await page.keyboard.press('Enter');
  await press(page, dialog(page).getByRole('button', { name: 'Save' }));
  await back(page, edit);
  await expect(row).toContainText('audit-*');
  await expect(row).not.toContainText('logs-*');
  const key = await row.locator('code').first().innerText();
  await press(page, row.getByRole('button', { name: 'Remove robot' }));
  await fill(page, key);
  await page.keyboard.press('Enter');
  await back(page);
  await expect(row).toHaveCount(0);

  await open(page, 'API tokens');
  const make = page.getByRole('button', { name: 'New API token' }).first();
  await press(page, make);
  await fill(page, 'a script');
  await press(page, dialog(page).getByRole('switch', { name: 'May have copies of keys' }), 'Space');
  await press(page, dialog(page).getByRole('button', { name: 'Make the token' }));
  await press(page, dialog(page).getByRole('button', { name: 'I have kept it' }));
  await back(page, make);
  const token = page.getByRole('row').filter({ hasText: 'a script' });
  await expect(token).toContainText('may have them');
  await press(page, token.getByRole('button', { name: 'Revoke a script' }));
  await fill(page, 'a script');
  await page.keyboard.press('Enter');
  await back(page);
  await expect(token).toHaveCount(0);
});

test('backends and policies are read, and the log is searched and followed, by keyboard', async ({ page }) => {
  const text = 'apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: { name: by-key }\nspec:\n  buckets: [by-key]\n  effect: encrypt\n';
  await rest(central(), '/policy-set/apply', { method: 'POST', body: text });
  await expect.poll(async () => JSON.stringify(await rest(gateway(0).console, '/policies'))).toContain('by-key');
  await logIn(page);
  await open(page, 'Backends');
  await press(page, page.getByRole('columnheader', { name: 'Backend' }).getByRole('button'));
  await expect(page).toHaveURL(/sort=name/);

  await open(page, 'Policies');
  const policy = page.getByRole('link', { name: 'by-key' });
  await press(page, policy);
  await expect(dialog(page)).toContainText('GovernancePolicy');
  await press(page, dialog(page).getByRole('button', { name: 'Close' }));
  await back(page, policy);

  await open(page, 'Log');
  const level = page.getByRole('combobox', { name: 'Level' });
  await reach(page, level);
  await seen(page);
  await pickByArrows(page, level, 'Warnings and errors');
  await expect(page).toHaveURL(/level=/);
  await press(page, page.getByRole('button', { name: 'Reset' }));
  await expect(page).not.toHaveURL(/level=/);
  await expect.poll(() => page.evaluate(() => document.activeElement !== document.body)).toBe(true);
  await write(page, page.getByRole('textbox', { name: 'Contains' }), 'log-in succeeds');
  const line = page.getByRole('button', { name: /log-in succeeds/ }).first();
  await press(page, line);
  await expect(dialog(page)).toContainText('log-in succeeds');
  await page.keyboard.press('Escape');
  await back(page);
  await press(page, page.getByRole('switch', { name: 'New lines as they come' }), 'Space');
  await expect(page).toHaveURL(/still=true/);
});

test('the floor and former places are set by keyboard', async ({ page }) => {
  await logIn(page);
  await open(page, 'Settings');
  const floor = page.getByRole('region', { name: 'Floor' });
  await write(page, floor.getByRole('combobox', { name: 'Buckets' }), 'vault-*');
  await page.keyboard.press('Enter');
  const save = floor.getByRole('button', { name: 'Save the floor' });
  await press(page, save);
  await expect(save).toBeDisabled();
  await expect.poll(() => rest(gateway(0).console, '/settings')).toMatchObject({ floor: { encrypt: ['vault-*'] } });
  await reach(page, floor.getByRole('combobox', { name: 'Buckets' }));
  await page.keyboard.press('Backspace');
  await press(page, save);
  await fill(page, 'lower');
  await page.keyboard.press('Enter');
  await back(page);
  expect(await rest(gateway(0).console, '/settings')).toMatchObject({ floor: { encrypt: [] } });

  const add = page.getByRole('button', { name: 'Add a former place' });
  await press(page, add);
  await fill(page, 'replica');
  await write(page, dialog(page).getByLabel('Bucket where they were encrypted'), 'original');
  await page.keyboard.press('Enter');
  await back(page, add);
  await press(page, page.getByRole('button', { name: 'Remove replica/' }));
  await fill(page, 'replica');
  await page.keyboard.press('Enter');
  await back(page);
  await expect(page.getByText('None: every object lies where it was encrypted.')).toBeVisible();
});
