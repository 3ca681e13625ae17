import { AxeBuilder } from '@axe-core/playwright';
import { expect, type Locator, type Page, test as base } from '@playwright/test';

import { central, gateway, ready } from './service';

/** What Chromium says when the content security policy stopped something. */
const BLOCKED = /Content Security Policy|Refused to/;

/**
 * A page that is watched. A request that leaves the origin, anything that the content security policy blocks, and an
 * error that nothing handles are failures, whatever else the test is about.
 */
export const test = base.extend({
  page: async ({ page }, serve) => {
    const wrong = watch(page);
    await serve(page);
    expect(wrong()).toEqual([]);
  },
});

export { expect };

/** The same for a page that a test opens itself. */
export function watch(page: Page): () => readonly string[] {
  const wrong: string[] = [];
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol === 'data:' || url.protocol === 'blob:') return;
    // A test opens any of the consoles; what is open speaks to its own service only.
    const allowed = request.isNavigationRequest() ? [central(), ...ready().gateways.map((one) => one.console)] : [new URL(request.frame().url()).origin];
    if (!allowed.includes(url.origin)) wrong.push(`a request to ${url.origin}, where only ${allowed.join(', ')} may be asked`);
  });
  page.on('console', (message) => {
    if (BLOCKED.test(message.text())) wrong.push(message.text());
  });
  page.on('pageerror', (error) => wrong.push(`an error that nothing handled: ${error.message}`));
  return () => wrong;
}

/** Logs in at Central by keyboard alone. */
export async function logInAtCentral(page: Page, name = ready().central.user, password = ready().central.password): Promise<void> {
  await page.goto(`${central()}/`);
  await page.getByLabel('Account').fill(name);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1, name: 'Overview' })).toBeVisible();
}

/** Logs in at the gateway of this index. */
export async function logInAtGateway(page: Page, index: number): Promise<void> {
  await page.goto(`${gateway(index).console}/`);
  await page.getByLabel('API token', { exact: true }).fill(gateway(index).token);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1, name: 'Dashboard' })).toBeVisible();
}

/** Puts this text into the editor, as somebody who pastes over all that is there. */
export async function type(page: Page, text: string): Promise<void> {
  const editor = page.getByRole('textbox', { name: 'Text of the policy' });
  await editor.click();
  await paste(editor, text);
}

/** The same where the keyboard is in the editor already. */
export async function paste(editor: Locator, text: string): Promise<void> {
  await editor.press('Control+A');
  await editor.evaluate((place, pasted) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData('text/plain', pasted);
    place.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
  }, text);
}

/** Waits until the dialog around this has the keyboard, which it takes once it is open; it may be seen before. */
export const ofItsDialog = (there: Locator): Promise<void> =>
  expect
    .poll(() =>
      there.evaluate((element) => {
        const dialog = element.closest('[role=dialog][aria-modal=true]');
        return dialog === null || dialog.contains(document.activeElement);
      }),
    )
    .toBe(true);

/** Goes on by Tab until the keyboard is there; what cannot be reached so is a failure. */
export async function reach(page: Page, there: Locator): Promise<void> {
  await expect(there).toBeVisible();
  await ofItsDialog(there);
  for (let steps = 0; steps < 120; steps += 1) {
    if (await there.evaluate((element) => element.contains(document.activeElement))) return;
    // In the editor Tab indents, and leaves it after Escape, as the page says; twice, where the first one closes an offer.
    if (await page.evaluate(() => (document.activeElement?.closest('.cm-editor') ?? null) !== null)) {
      await page.keyboard.press('Escape');
      await page.keyboard.press('Escape');
    }
    await page.keyboard.press('Tab');
  }
  throw new Error(`the keyboard does not come to ${there.toString()}`);
}

/** Takes an entry of the menu that was opened. */
export async function pickInMenu(page: Page, entry: string | RegExp): Promise<void> {
  const item = page.getByRole('menuitem', { name: entry });
  await expect(item).toBeVisible();
  // A menu takes the keyboard once it is open, which may be after it is seen.
  await expect(page.getByRole('menu').locator(':focus')).toHaveCount(1);
  for (let steps = 0; steps < 20; steps += 1) {
    if (await item.evaluate((element) => element === document.activeElement)) {
      await page.keyboard.press('Enter');
      return;
    }
    await page.keyboard.press('ArrowDown');
  }
  throw new Error(`arrow keys do not come to ${entry.toString()}`);
}

/** Takes an entry of the list below the field that has the keyboard. */
export async function pickByArrows(page: Page, field: Locator, option: string): Promise<void> {
  for (let steps = 0; steps < 40; steps += 1) {
    await page.keyboard.press('ArrowDown');
    await expect(field).toHaveAttribute('aria-expanded', 'true');
    const at = await field.getAttribute('aria-activedescendant');
    if (at !== null && at !== '' && (await page.locator(`[id="${at}"]`).innerText()).trim() === option) {
      // Pressed again where the list was not ready for it yet.
      await expect(async () => {
        await page.keyboard.press('Enter');
        await expect(field).toHaveAttribute('aria-expanded', 'false', { timeout: 2_000 });
      }).toPass();
      return;
    }
  }
  throw new Error(`arrow keys do not come to ${option} of ${field.toString()}`);
}

/** The way to a page; what is on a page may lead there too, by the same name. */
export const inSidebar = (page: Page, name: string): Locator => page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name, exact: true });

/** Rules that look at colours: all that can be otherwise in another scheme. */
const COLOURS = ['color-contrast', 'link-in-text-block'];

/**
 * What axe finds, in a form that a failed test shows whole; by every rule, or where only the scheme is another, by those of
 * `colours`. What opens `over` a page is in no landmark of it: it has the keyboard itself.
 */
export async function violations(page: Page, { colours = false, over = false } = {}): Promise<readonly string[]> {
  // The “legacy” way runs in the page. The other opens a page of its own for each look, to join what it finds in frames
  // of other origins; there is no frame here, and it takes three times as long.
  const axe = new AxeBuilder({ page }).options({ resultTypes: ['violations'] }).setLegacyMode();
  if (over) axe.disableRules(['region']);
  const { violations: found } = await (colours ? axe.withRules(COLOURS) : axe).analyze();
  return found.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.target.join(' ')}: ${node.failureSummary ?? ''}`));
}
