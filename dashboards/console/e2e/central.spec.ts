import { type Browser, type Page } from '@playwright/test';

import { boto3, central, freeze, freezePostgres, gateway, ready, rest } from './service';
import { expect, logInAtCentral, paste, reach, test, type, watch } from './test';

const policy = (name: string, bucket: string, more = ''): string => `apiVersion: sealgate.dev/v1
kind: GovernancePolicy
metadata:
  name: ${name}
spec:
  mode: enforce
  buckets: [${bucket}]
  effect: encrypt
${more}`;

const publish = (text: string) => rest(central(), '/policy-set/apply', { method: 'POST', body: text });

/** A second person with a browser of their own. */
async function another(browser: Browser, name: string): Promise<Page> {
  const password = 'correct horse battery staple';
  await rest(central(), '/operators', { method: 'POST', body: { name, password, role: 'admin' } });
  const page = await (await browser.newContext()).newPage();
  await logInAtCentral(page, name, password);
  return page;
}

test('story one: a mistake is shown at its line, mended, published, effective everywhere, and the next object is counted', async ({ page }) => {
  boto3(0, `s3.create_bucket(Bucket='payroll')`);
  await logInAtCentral(page);
  await page.getByRole('link', { name: 'Policies', exact: true }).click();
  await page.getByRole('link', { name: 'Write a policy' }).first().click();

  // A word that the document does not have, in line 8.
  await type(page, policy('story-one', 'payroll', '').replace('effect: encrypt', 'efect: encrypt'));
  const said = page.getByRole('status').filter({ hasText: 'It cannot be published like this' });
  await expect(said).toContainText('Line 8');
  await expect(said).toContainText('efect');
  // And in the editor: a mark in the gutter of that line, and the word underlined.
  await expect(page.locator('.cm-gutterElement:has(.cm-lint-marker-error)').first()).toBeVisible();
  await expect(page.locator('.cm-lintRange-error').filter({ hasText: 'efect' })).toHaveCount(1);
  // Publishing it all the same is refused by the service, and what was typed stays.
  await page.getByRole('button', { name: 'Publish' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await expect(page.getByRole('textbox', { name: 'Text of the policy' })).toContainText('efect');

  await type(page, policy('story-one', 'payroll'));
  await expect(page.getByText('The text is a valid policy.')).toBeVisible();
  await page.getByRole('button', { name: 'Publish' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'story-one' })).toBeVisible();
  const convergence = page.getByRole('region', { name: 'Convergence' });
  await expect(convergence).toContainText('2 of 2 effective');

  boto3(1, `s3.put_object(Bucket='payroll', Key='march.csv', Body=b'4711')`);
  await page.getByRole('tab', { name: 'Hits' }).click();
  const row = page.getByRole('row').filter({ hasText: 'payroll' });
  await expect(row).toContainText(gateway(1).name);
  await expect(row).toContainText('encrypted');
  await expect(row.getByRole('cell').nth(3)).toHaveText('1');

  await page.getByRole('link', { name: 'Overview', exact: true }).click();
  const tile = page.getByRole('region', { name: 'Objects encrypted' });
  await expect(tile.getByRole('link').first()).toHaveText('1');
  // The number leads to the row that makes it up.
  await tile.getByRole('link').first().click();
  await expect(page.getByRole('row').filter({ hasText: gateway(1).name })).toContainText('1');
});

test('story three: a gateway that goes away is shown as late, then lost; it comes back with what it missed', async ({ page }) => {
  await logInAtCentral(page);
  const tile = page.getByRole('region', { name: 'Total gateways' });
  await expect(tile).toContainText('2 connected');
  const thaw = freeze(gateway(1).pid);
  try {
    await expect(tile).toContainText('1 connected', { timeout: 120_000 });
    await expect(tile).toContainText('1 lost', { timeout: 120_000 });
    // What is published meanwhile reaches the other one, and the console says for whom it waits.
    await publish(policy('story-three', 'elsewhere'));
    await page.goto(`${central()}/policies`);
    const convergence = page.getByRole('region', { name: 'Convergence' });
    await expect(convergence).toContainText('1 of 2 effective');
    await expect(convergence).toContainText(`1 not connected`);
    await expect(convergence.getByRole('listitem').filter({ hasText: gateway(1).name })).toContainText('It gets the revision when it connects (lost)');
  } finally {
    thaw();
  }
  await expect(page.getByRole('region', { name: 'Convergence' })).toContainText('2 of 2 effective', { timeout: 120_000 });
  await page.goto(`${central()}/`);
  await expect(tile).toContainText('2 connected');
});

test('story four: of two administrators who edit the same policy, the second sees both texts and loses nothing', async ({ page, browser }) => {
  await publish(policy('story-four', 'shared'));
  const second = await another(browser, 'second-admin');
  const wrong = watch(second);
  await logInAtCentral(page);
  for (const one of [page, second]) {
    await one.goto(`${central()}/policies/story-four`);
    await expect(one.getByRole('textbox', { name: 'Text of the policy' })).toContainText('shared');
  }
  await type(second, policy('story-four', 'shared, of-the-second'));
  await type(page, policy('story-four', 'shared, of-the-first'));
  await page.getByRole('button', { name: 'Publish' }).click();
  await expect(page.getByText('is published')).toBeVisible();

  // The second is told, live, before anything was pressed.
  await expect(second.getByText('Somebody else published this policy meanwhile')).toBeVisible();
  await expect(second.getByRole('button', { name: 'Publish' })).toBeDisabled();
  await expect(second.getByRole('region', { name: 'What they changed' })).toContainText('of-the-first');
  await expect(second.getByRole('textbox', { name: 'Text of the policy' })).toContainText('of-the-second');
  await second.getByRole('button', { name: 'Go on with mine' }).click();
  await second.getByRole('button', { name: 'Publish' }).click();
  await expect(second.getByText('is published')).toBeVisible();

  // The first follows, having typed nothing since.
  await expect(page.getByRole('textbox', { name: 'Text of the policy' })).toContainText('of-the-second');
  const { source } = (await rest(central(), '/policies/story-four')) as { readonly source: string };
  expect(source).toContain('of-the-second');
  await page.getByRole('tab', { name: 'History' }).click();
  const revisions = page.getByRole('region', { name: 'Revisions that changed it' });
  await expect(revisions.getByRole('row').filter({ hasText: 'second-admin' })).toHaveCount(1);
  expect(wrong()).toEqual([]);
  await second.context().close();
});

test('an edit outlives the end of its session', async ({ page, context }) => {
  await publish(policy('session-ends', 'before'));
  await logInAtCentral(page);
  await page.goto(`${central()}/policies/session-ends`);
  await type(page, policy('session-ends', 'typed-before-the-end'));
  // The session ends as it does by time: the service no longer knows it.
  await context.clearCookies();
  await page.getByRole('button', { name: 'Publish' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog).toContainText('Log in');
  await expect(page.getByText('typed-before-the-end').first()).toBeAttached();
  await dialog.getByLabel('Password', { exact: true }).fill(ready().central.password);
  await page.keyboard.press('Enter');
  // What was pressed goes on by itself.
  await expect(page.getByText('is published')).toBeVisible();
  const { source } = (await rest(central(), '/policies/session-ends')) as { readonly source: string };
  expect(source).toContain('typed-before-the-end');
});

test('with Central stopped the page says so, keeps what was typed, and goes on when it is back', async ({ page }) => {
  await publish(policy('central-stops', 'before'));
  await logInAtCentral(page);
  await page.goto(`${central()}/policies/central-stops`);
  await type(page, policy('central-stops', 'typed-while-away'));
  await expect(page.getByText('The text is a valid policy.')).toBeVisible();
  const thaw = freeze(ready().central.pid);
  try {
    await page.getByRole('button', { name: 'Publish' }).click();
    await expect(page.getByRole('alert').filter({ hasText: 'does not answer' })).toBeVisible({ timeout: 120_000 });
    await expect(page.getByRole('textbox', { name: 'Text of the policy' })).toContainText('typed-while-away');
  } finally {
    thaw();
  }
  await expect(page.getByRole('alert').filter({ hasText: 'does not answer' })).toBeHidden({ timeout: 120_000 });
  await expect(page.getByRole('textbox', { name: 'Text of the policy' })).toContainText('typed-while-away');
  // The request of before may have arrived: pressed again, the outcome is the same one revision.
  const button = page.getByRole('button', { name: 'Publish' });
  if (await button.isEnabled()) await button.click();
  await expect
    .poll(async () => ((await rest(central(), '/policies/central-stops')) as { readonly source: string }).source, { timeout: 60_000 })
    .toContain('typed-while-away');
});

test('with PostgreSQL stopped the page says so, keeps what was typed, and goes on when it is back', async ({ page }) => {
  await publish(policy('database-stops', 'before'));
  await logInAtCentral(page);
  await page.goto(`${central()}/policies/database-stops`);
  await type(page, policy('database-stops', 'typed-without-database'));
  await expect(page.getByText('The text is a valid policy.')).toBeVisible();
  const thaw = freezePostgres();
  try {
    await page.getByRole('button', { name: 'Publish' }).click();
    await expect(page.getByRole('alert').first()).toContainText(/database/, { timeout: 120_000 });
    await expect(page.getByRole('textbox', { name: 'Text of the policy' })).toContainText('typed-without-database');
  } finally {
    thaw();
  }
  await expect(page.getByText('is not available')).toBeHidden({ timeout: 120_000 });
  const button = page.getByRole('button', { name: 'Publish' });
  if (await button.isEnabled()) await button.click();
  await expect
    .poll(async () => ((await rest(central(), '/policies/database-stops')) as { readonly source: string }).source, { timeout: 60_000 })
    .toContain('typed-without-database');
});

test('all of it by keyboard: pages are found, a policy is written, the editor is left, and it is published and deleted', async ({ page }) => {
  await logInAtCentral(page);
  await page.keyboard.press('Control+K');
  await page.getByRole('combobox', { name: 'Search' }).pressSequentially('polic');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1, name: 'Policies' })).toBeVisible();
  await reach(page, page.getByRole('link', { name: 'Write a policy' }).first());
  await page.keyboard.press('Enter');

  const editor = page.getByRole('textbox', { name: 'Text of the policy' });
  await reach(page, editor);
  // Within it, Tab is a key like others; Escape first, and it leads on.
  await paste(editor, policy('by-keyboard', 'keys'));
  await expect(page.getByText('The text is a valid policy.')).toBeVisible();
  await page.keyboard.press('Escape');
  await reach(page, page.getByRole('button', { name: 'Publish' }));
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1, name: 'by-keyboard' })).toBeVisible();

  await reach(page, page.getByRole('button', { name: 'Delete' }));
  await page.keyboard.press('Space');
  // The word is asked for where the keyboard is.
  await expect(page.getByRole('dialog').getByRole('textbox')).toBeFocused();
  await page.keyboard.insertText('by-keyboard');
  await page.keyboard.press('Enter');
  await expect(page.getByText('by-keyboard is deleted')).toBeVisible();
  await reach(page, page.getByRole('button', { name: /^Account/ }));
  await page.keyboard.press('Enter');
  await page.getByRole('menuitem', { name: 'Log out' }).press('Enter');
  await expect(page.getByRole('heading', { level: 1, name: 'Log in' })).toBeVisible();
});
