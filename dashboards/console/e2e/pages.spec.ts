import { join } from 'node:path';

import type { Locator, Page } from '@playwright/test';

import { artefacts, central, gateway, rest } from './service';
import { expect, logInAtCentral, logInAtGateway, test, violations } from './test';

/** Every page that Central's sidebar leads to is found by walking it; these are the ones behind. */
const BEHIND_CENTRAL = ['/new-policy', '/policies/payroll-secure-handling', '/policies/payroll-secure-handling?tab=figures', '/policies/payroll-secure-handling?tab=history', '/gateways/gateway-1', '/gateways/gateway-3', '/gateways/gateway-4', '/enrol', '/revisions?from=0&to=1', '/figures?by=policy', '/convergence', '/account', '/no-such-page'];
const BEHIND_GATEWAY = ['/objects?bucket=finance', '/objects?bucket=finance&prefix=payroll/', '/no-such-page'];

const SIZES = { desktop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } } as const;
const SCHEMES = ['light', 'dark'] as const;

/** Addresses that the sidebar leads to. */
async function sidebar(page: Page): Promise<readonly string[]> {
  const links = page.getByRole('navigation', { name: 'Pages' }).getByRole('link');
  const found = await links.evaluateAll((all) => all.map((one) => one.getAttribute('href') ?? ''));
  return [...new Set(found.map((href) => href.split('?')[0] ?? href))];
}

/** Until nothing is loading and nothing moves. */
async function settled(page: Page): Promise<void> {
  await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
  await expect(page.locator('.mantine-Skeleton-root:visible, .mantine-Loader-root:visible')).toHaveCount(0);
  await expect(page.locator('.sg-plot:visible:not(:has(canvas))')).toHaveCount(0);
  await still(page);
}

/** Until nothing moves. */
const still = (page: Page): Promise<void> =>
  page.evaluate(async () => {
    await document.fonts.ready;
    // Twice: colours that were asked for in one frame are there in the next.
    for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame);
    await Promise.all(document.getAnimations().map((one) => one.finished.catch(() => undefined)));
  });

/** Looks at each page in every scheme and size; what is wrong, with its place. */
async function lookAt(page: Page, base: string, paths: readonly string[], name: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const path of paths) {
    // Loaded in the first scheme; the others are switched to.
    await page.setViewportSize(SIZES.desktop);
    await page.emulateMedia({ colorScheme: SCHEMES[0], reducedMotion: 'reduce' });
    await page.goto(`${base}${path}`);
    for (const [size, viewport] of Object.entries(SIZES)) {
      await page.setViewportSize(viewport);
      for (const scheme of SCHEMES) {
        await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
        await expect(page.locator(`html[data-mantine-color-scheme=${scheme}]`)).toBeAttached();
        await settled(page);
        const file = `${path.slice(1).replaceAll(/[^a-z0-9]+/g, '-') || 'start'}.png`;
        await page.screenshot({ path: join(artefacts('screens', `${name}-${scheme}-${size}`), file), fullPage: true });
        const colours = scheme !== SCHEMES[0];
        found.push(...(await violations(page, { colours })).map((one) => `${path}, ${scheme}, ${size}: ${one}`));
      }
      // Wide tables scroll in themselves; the page never does.
      const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (over > 0) found.push(`${path}, ${size}: the page is ${over} px wider than the window`);
    }
  }
  return found;
}

/** The demonstration has something true on every page of Central's: a refusal, traffic, and, after a minute, a gateway that is lost. */
const lost = () => expect.poll(async () => JSON.stringify(await rest(central(), '/gateways')), { timeout: 120_000 }).toMatch(/"connection":"lost"/);

// The gateway's first: meanwhile the minute passes.
for (const [name, base, logIn, behind] of [
  ['gateway', () => gateway(0).console, (page: Page) => logInAtGateway(page, 0), BEHIND_GATEWAY],
  ['central', () => central(), async (page: Page) => lost().then(() => logInAtCentral(page)), BEHIND_CENTRAL],
] as const) {
  test(`no page of the ${name}'s console has a violation, is wider than its window, or stays loading`, async ({ page }) => {
    test.setTimeout(800_000);
    expect(await lookAt(page, base(), ['/?log-in'], name)).toEqual([]);
    await page.setViewportSize(SIZES.desktop);
    await logIn(page);
    const paths = [...(await sidebar(page)), ...behind];
    expect(await lookAt(page, base(), paths, name)).toEqual([]);
  });
}

test('what opens over a page has no violation either: the search, a menu, a dialog', async ({ page }) => {
  const found: string[] = [];
  await logInAtCentral(page);
  for (const scheme of SCHEMES) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    await page.goto(`${central()}/users`);
    await expect(page.locator(`html[data-mantine-color-scheme=${scheme}]`)).toBeAttached();
    await settled(page);
    const look = async (what: string, open: () => Promise<void>, there: Locator) => {
      await open();
      await expect(there).toBeVisible();
      await still(page);
      await page.screenshot({ path: join(artefacts('screens', `over-${scheme}`), `${what}.png`) });
      found.push(...(await violations(page, { over: true })).map((one) => `${what}, ${scheme}: ${one}`));
      await page.keyboard.press('Escape');
      await expect(there).toBeHidden();
    };
    await look('search', () => page.keyboard.press('Control+K'), page.getByRole('combobox', { name: 'Search' }));
    await look('menu', () => page.getByRole('button', { name: 'Appearance' }).click(), page.getByRole('menu'));
    await look('dialog', () => page.getByRole('button', { name: 'Make an account' }).click(), page.getByRole('dialog', { name: 'New account' }));
  }
  expect(found).toEqual([]);
});
