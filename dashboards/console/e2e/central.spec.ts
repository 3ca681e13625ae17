import { type Browser, type Page, type Route } from '@playwright/test';

import { boto3, central, freeze, freezePostgres, gateway, ready, rest } from './service';
import { expect, inSidebar, logInAtCentral, paste, pickInMenu, reach, test, type, watch } from './test';

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

/** In how many revisions the policy of this name was changed. */
async function changesOf(name: string): Promise<number> {
  const { revisions } = (await rest(central(), '/policy-set/revisions')) as { readonly revisions: readonly { readonly changes: readonly { readonly name: string }[] }[] };
  return revisions.filter((one) => one.changes.some((change) => change.name === name)).length;
}

/** Publishes until the service has this text, as somebody who is not told whether it arrived; it is one revision, however often it arrives. */
async function publishSurely(page: Page, name: string, typed: string): Promise<void> {
  const button = page.getByRole('button', { name: 'Publish' });
  await expect(async () => {
    if (await button.isEnabled()) await button.click({ timeout: 2_000 });
    expect(((await rest(central(), `/policies/${name}`)) as { readonly source: string }).source).toContain(typed);
    await expect(button).toBeDisabled({ timeout: 2_000 });
  }).toPass({ timeout: 60_000 });
  expect(await changesOf(name)).toBe(2);
}

const PASSWORD = 'correct horse battery staple';

/** A second person. */
const person = (name: string, role = 'admin') => rest(central(), '/operators', { method: 'POST', body: { name, password: PASSWORD, role } });

/** A second person with a browser of their own. */
async function another(browser: Browser, name: string): Promise<Page> {
  await person(name);
  const page = await (await browser.newContext()).newPage();
  await logInAtCentral(page, name, PASSWORD);
  return page;
}

test('story one: a mistake is shown at its line, mended, published, effective everywhere, and the next object is counted', async ({ page }) => {
  boto3(0, `s3.create_bucket(Bucket='payroll')`);
  await logInAtCentral(page);
  await inSidebar(page, 'Policies').click();
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

  await inSidebar(page, 'Overview').click();
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
    // It is late for most of a minute, and the page asks every quarter of one.
    await expect(tile).toContainText('1 late', { timeout: 120_000 });
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

/** Puts the policy with this bucket into the editor, and waits until it was looked through. */
async function typeAndCheck(page: Page, name: string, bucket: string): Promise<void> {
  await type(page, policy(name, bucket));
  // The text that was there is looked through too: what is said is of this one once the page has it.
  await expect(page.getByRole('region', { name: 'What you changed' })).toContainText(bucket);
  await expect(page.getByText('The text is a valid policy.')).toBeVisible();
}

/**
 * Ends the session as time does, the service no longer knows it, and presses Publish. All else that the page asks waits
 * until `goOn` is called: otherwise that may find the session over first, and the dialog stands before the button.
 */
async function publishAfterTheEnd(page: Page): Promise<() => Promise<void>> {
  let release = () => {};
  const released = new Promise<void>((resolve) => (release = resolve));
  const hold = async (route: Route) => {
    if (route.request().method() !== 'PUT') await released;
    await route.fallback();
  };
  await page.route('**/api/v1/**', hold);
  await page.context().clearCookies();
  await page.getByRole('button', { name: 'Publish' }).click();
  return async () => {
    release();
    await page.unroute('**/api/v1/**', hold);
  };
}

test('an edit outlives the end of its session', async ({ page }) => {
  await publish(policy('session-ends', 'before'));
  await logInAtCentral(page);
  await page.goto(`${central()}/policies/session-ends`);
  await typeAndCheck(page, 'session-ends', 'typed-before-the-end');
  const goOn = await publishAfterTheEnd(page);
  const dialog = page.getByRole('dialog');
  await expect(dialog).toContainText('Log in');
  await goOn();
  await expect(page.getByText('typed-before-the-end').first()).toBeAttached();
  await dialog.getByLabel('Password', { exact: true }).fill(ready().central.password);
  await page.keyboard.press('Enter');
  // What was pressed goes on by itself.
  await expect(page.getByText('is published')).toBeVisible();
  const { source } = (await rest(central(), '/policies/session-ends')) as { readonly source: string };
  expect(source).toContain('typed-before-the-end');
});

test('of an edit whose session ended nothing is left for another person who logs in there', async ({ page }) => {
  await publish(policy('taken-over', 'before-it'));
  await person('third-admin');
  await person('a-viewer', 'viewer');
  const source = async () => ((await rest(central(), '/policies/taken-over')) as { readonly source: string }).source;
  const kept = await source();
  const dialog = page.getByRole('dialog');
  const typed = (bucket: string) => typeAndCheck(page, 'taken-over', bucket);
  const takeOver = async (name: string) => {
    const goOn = await publishAfterTheEnd(page);
    await expect(dialog).toContainText('another account');
    await goOn();
    await dialog.getByLabel('Account').fill(name);
    await dialog.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await page.keyboard.press('Enter');
    await expect(dialog).toBeHidden();
    await expect(page.getByRole('button', { name: `Account ${name}` })).toBeVisible();
  };
  const editor = page.getByRole('textbox', { name: 'Text of the policy' });
  const told = page.getByRole('alert').filter({ hasText: 'What waited for the log-in was not carried out' });
  await logInAtCentral(page);
  await page.goto(`${central()}/policies/taken-over`);
  await typed('typed-by-the-first');

  // Whoever may publish too: the text is not theirs, and what was pressed is not done in their name.
  await takeOver('third-admin');
  await expect(told).toContainText(`The page was ${ready().central.user}’s`);
  await expect(editor).toContainText('before-it');
  await expect(editor).not.toContainText('typed-by-the-first');
  expect(await source()).toBe(kept);
  await told.getByRole('button', { name: 'Close' }).click();

  // Whoever may read less than was shown: not even for as long as it would be asked for again.
  await typed('typed-by-the-second');
  await page.route('**/api/v1/policies/**', (route) => (route.request().method() === 'GET' ? undefined : route.continue()));
  await takeOver('a-viewer');
  await expect(told).toContainText('The page was third-admin’s');
  await expect(page.getByRole('heading', { level: 1, name: 'taken-over' })).toBeVisible();
  await expect(page.getByText('before-it')).toHaveCount(0);
  await expect(page.getByText('typed-by-the-second')).toHaveCount(0);
  await page.unroute('**/api/v1/policies/**');
  await page.reload();
  await expect(page.getByRole('alert').first()).toBeVisible();
  expect(await source()).toBe(kept);
});

test('a log-in on another page of the same browser is one on this page too', async ({ page, context }) => {
  await publish(policy('two-pages', 'before-it'));
  await person('fourth-admin');
  const second = await context.newPage();
  const wrong = watch(second);
  await logInAtCentral(page);
  await page.goto(`${central()}/policies/two-pages`);
  await type(page, policy('two-pages', 'typed-by-the-first'));
  await context.clearCookies();
  await logInAtCentral(second, 'fourth-admin', PASSWORD);
  // The cookie is the other person's now: what is pressed here would be done in their name.
  await expect(page.getByRole('button', { name: 'Account fourth-admin' })).toBeVisible();
  await expect(page.getByRole('alert').filter({ hasText: `The page was ${ready().central.user}’s` })).toBeVisible();
  await expect(page.getByRole('textbox', { name: 'Text of the policy' })).not.toContainText('typed-by-the-first');
  expect(wrong()).toEqual([]);
  await second.close();
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
  await publishSurely(page, 'central-stops', 'typed-while-away');
});

test('of a text that was typed while Central was stopped nothing is said until it was checked', async ({ page }) => {
  await publish(policy('not-checked', 'before'));
  await logInAtCentral(page);
  await page.goto(`${central()}/policies/not-checked`);
  const valid = page.getByText('The text is a valid policy.');
  await expect(valid).toBeVisible();
  const thaw = freeze(ready().central.pid);
  try {
    await type(page, policy('not-checked', 'typed-while-away').replace('effect: encrypt', 'efect: encrypt'));
    await expect(valid).toBeHidden();
    await expect(page.getByText('The text could not be checked: The service does not answer.')).toBeVisible({ timeout: 120_000 });
  } finally {
    thaw();
  }
  // Nobody touches it: it is checked as soon as that is possible.
  await expect(page.getByRole('status').filter({ hasText: 'It cannot be published like this' })).toContainText('Line 8', { timeout: 120_000 });
});

test('with PostgreSQL stopped the page says so, keeps what was typed, and goes on when it is back', async ({ page }) => {
  await publish(policy('database-stops', 'before'));
  await logInAtCentral(page);
  await page.goto(`${central()}/policies/database-stops`);
  await type(page, policy('database-stops', 'typed-without-database'));
  await expect(page.getByText('The text is a valid policy.')).toBeVisible();
  const banner = page.getByRole('alert').filter({ hasText: 'What you see is as it was then' });
  const thaw = freezePostgres();
  try {
    await page.getByRole('button', { name: 'Publish' }).click();
    await expect(banner).toContainText(/cannot serve: .*database/, { timeout: 120_000 });
    await expect(page.getByRole('textbox', { name: 'Text of the policy' })).toContainText('typed-without-database');
  } finally {
    thaw();
  }
  await expect(banner).toBeHidden({ timeout: 120_000 });
  await publishSurely(page, 'database-stops', 'typed-without-database');
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
  await pickInMenu(page, 'Log out');
  await expect(page.getByRole('heading', { level: 1, name: 'Log in' })).toBeVisible();
});
