import { join } from 'node:path';

import type { Browser, Page } from '@playwright/test';

import { artefacts, central, gateway, rest } from './service';
import { expect, logInAtCentral, logInAtGateway, test, violations, watch } from './test';

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
  await page.evaluate(async () => {
    await document.fonts.ready;
    await Promise.all(document.getAnimations().map((one) => one.finished.catch(() => undefined)));
  });
}

async function lookAt(page: Page, base: string, paths: readonly string[], name: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const path of paths) {
    await page.goto(`${base}${path}`);
    await settled(page);
    const file = `${path.slice(1).replaceAll(/[^a-z0-9]+/g, '-') || 'start'}.png`;
    await page.screenshot({ path: join(artefacts('screens', name), file), fullPage: true });
    found.push(...(await violations(page)).map((one) => `${path}: ${one}`));
    // Wide tables scroll in themselves; the page never does.
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (over > 0) found.push(`${path}: the page is ${over} px wider than the window`);
  }
  return found;
}

interface Variant {
  readonly scheme: (typeof SCHEMES)[number];
  readonly size: keyof typeof SIZES;
}

async function open(browser: Browser, { scheme, size }: Variant): Promise<Page> {
  const context = await browser.newContext({ viewport: SIZES[size], colorScheme: scheme, reducedMotion: 'reduce', locale: 'en-GB', timezoneId: 'UTC' });
  return context.newPage();
}

// The demonstration has something true on every page: a refusal, a gateway that is lost, traffic.
test.beforeAll(async () => {
  await expect
    .poll(async () => JSON.stringify(await rest(central(), '/gateways')), { timeout: 120_000 })
    .toMatch(/"connection":"lost"/);
});

for (const scheme of SCHEMES) {
  for (const size of ['desktop', 'phone'] as const) {
    test(`Central, ${scheme}, ${size}: no page has a violation, is wider than its window, or stays loading`, async ({ browser }) => {
      const page = await open(browser, { scheme, size });
      const wrong = watch(page);
      await page.setViewportSize(SIZES.desktop);
      await page.goto(central());
      await settled(page);
      expect(await violations(page), 'the log-in').toEqual([]);
      await logInAtCentral(page);
      const paths = [...(await sidebar(page)), ...BEHIND_CENTRAL];
      await page.setViewportSize(SIZES[size]);
      expect(await lookAt(page, central(), paths, `central-${scheme}-${size}`)).toEqual([]);
      expect(wrong()).toEqual([]);
      await page.context().close();
    });

    test(`gateway, ${scheme}, ${size}: no page has a violation, is wider than its window, or stays loading`, async ({ browser }) => {
      const page = await open(browser, { scheme, size });
      const wrong = watch(page);
      const base = gateway(0).console;
      await page.setViewportSize(SIZES.desktop);
      await page.goto(base);
      await settled(page);
      expect(await violations(page), 'the log-in').toEqual([]);
      await logInAtGateway(page, 0);
      const paths = [...(await sidebar(page)), ...BEHIND_GATEWAY];
      await page.setViewportSize(SIZES[size]);
      expect(await lookAt(page, base, paths, `gateway-${scheme}-${size}`)).toEqual([]);
      expect(wrong()).toEqual([]);
      await page.context().close();
    });
  }
}
