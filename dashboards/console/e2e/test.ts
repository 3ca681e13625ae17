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
    const origins = [central(), ...ready().gateways.map((one) => one.console)];
    if (!origins.includes(url.origin)) wrong.push(`a request to ${url.origin}`);
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

/** Goes on by Tab until the keyboard is there; what cannot be reached so is a failure. */
export async function reach(page: Page, there: Locator): Promise<void> {
  await expect(there).toBeVisible();
  for (let steps = 0; steps < 120; steps += 1) {
    if (await there.evaluate((element) => element.contains(document.activeElement))) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`the keyboard does not come to ${there.toString()}`);
}

/** What axe finds, in a form that a failed test shows whole. */
export async function violations(page: Page): Promise<readonly string[]> {
  const { violations: found } = await new AxeBuilder({ page }).options({ resultTypes: ['violations'] }).analyze();
  return found.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.target.join(' ')}: ${node.failureSummary ?? ''}`));
}
