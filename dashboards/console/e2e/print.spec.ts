import { join } from 'node:path';

import type { Page } from '@playwright/test';

import { artefacts, central } from './service';
import { expect, logInAtCentral, test } from './test';

/** A4 less 10 mm at each side, at 96 to the inch. */
const PAPER = { width: 718, height: 1047 };

const PAGES = ['/', '/coverage', '/audit', '/figures', '/notifications', '/gateways', '/gateways/gateway-1', '/kms', '/policies', '/policies/payroll-secure-handling', '/revisions', '/convergence', '/users', '/tokens', '/settings'];

/** What somebody who holds the paper would object to. */
const objections = (page: Page): Promise<readonly string[]> =>
  page.evaluate(() => {
    const found = new Set<string>();
    const named = (element: Element) => `${element.tagName.toLowerCase()}.${[...element.classList].join('.')} “${element.textContent.trim().slice(0, 40)}”`;
    const shown = (element: Element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && !element.matches('.sg-hidden, .sg-hidden *');
    const parts = (color: string) => (/[\d.]+/g.exec(color) ? (color.match(/[\d.]+/g) ?? []).map(Number) : []);
    /** WCAG 2.2's relative luminance. */
    const light = (color: string): number => {
      const [r = 0, g = 0, b = 0] = parts(color).map((one) => {
        const value = one / 255;
        return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    for (const one of document.getAnimations()) {
      if (one instanceof CSSTransition) found.add(`is still changing its ${one.transitionProperty}`);
    }
    for (const element of document.querySelectorAll('.sg-bar, .sg-side, nav[aria-label=Pages], .sg-table-tools')) {
      if (shown(element)) found.add(`is on the paper: ${named(element)}`);
    }
    for (const element of document.querySelectorAll('button, [role=button], [role=radio], .mantine-Button-root')) {
      // Words that can be pressed are words on paper.
      const style = getComputedStyle(element);
      const word = parseFloat(style.borderTopWidth) === 0 && (parts(style.backgroundColor)[3] ?? 1) === 0 && !element.matches('.mantine-Button-root');
      if (shown(element) && !word) found.add(`a button is on the paper: ${named(element)}`);
    }
    for (const element of document.querySelectorAll('body, body *')) {
      if (!shown(element) || element.getBoundingClientRect().width === 0 || element.closest('svg, .cm-editor') !== null) continue;
      const style = getComputedStyle(element);
      const ground = parts(style.backgroundColor);
      if ((ground[3] ?? 1) > 0 && light(style.backgroundColor) < 0.9 && !element.matches('i, i *')) found.add(`is not on white: ${named(element)}`);
      const says = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && (node.textContent ?? '').trim() !== '');
      if (says && 1.05 / (light(style.color) + 0.05) < 4.5) found.add(`is too light on white: ${named(element)}`);
      const cut = element.scrollWidth > element.clientWidth + 1 && style.overflowX !== 'visible' && style.display !== 'inline';
      if (cut && element.clientWidth > 0) found.add(`is cut off: ${named(element)}`);
      if (element.getBoundingClientRect().right > document.documentElement.clientWidth + 1) found.add(`is beyond the edge: ${named(element)}`);
    }
    for (const canvas of document.querySelectorAll('canvas')) {
      const { data } = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height) ?? { data: [] };
      let darkest = 255;
      for (let at = 0; at < data.length; at += 4) if ((data[at + 3] ?? 0) > 200) darkest = Math.min(darkest, Math.max(data[at] ?? 0, data[at + 1] ?? 0, data[at + 2] ?? 0));
      if (darkest > 150) found.add(`a drawing is too light on white: ${darkest}`);
    }
    for (const table of document.querySelectorAll('table[aria-rowcount]')) {
      const rows = table.querySelectorAll('tbody tr:not(.sg-space)').length;
      const said = table.closest('.sg-panel')?.querySelector('.sg-table-foot [role=status]')?.textContent ?? '';
      const wanted = Number(/^[\d,]+/.exec(said)?.[0].replaceAll(',', ''));
      if (rows !== wanted) found.add(`of a table that says “${said}” there are ${rows} rows`);
    }
    return [...found];
  });

const SCHEMES = ['light', 'dark'] as const;

test('printed from either scheme each page is black on white, whole, and without what cannot be pressed on paper', async ({ page }) => {
  test.setTimeout(480_000);
  await logInAtCentral(page);
  const wrong: string[] = [];
  for (const path of PAGES) {
    const name = path.slice(1).replaceAll(/[^a-z0-9]+/g, '-') || 'start';
    await page.emulateMedia({ media: 'screen', colorScheme: SCHEMES[0], reducedMotion: 'reduce' });
    await page.goto(`${central()}${path}`);
    await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
    await expect(page.locator('.mantine-Skeleton-root:visible, .mantine-Loader-root:visible')).toHaveCount(0);
    await expect(page.locator('.sg-plot:visible:not(:has(canvas))')).toHaveCount(0);
    // Loaded in the first scheme; the other is switched to.
    for (const colorScheme of SCHEMES) {
      const inScheme = async () => {
        await page.emulateMedia({ media: 'screen', colorScheme, reducedMotion: 'reduce' });
        await expect(page.locator(`html[data-mantine-color-scheme=${colorScheme}]`)).toBeAttached();
      };
      await inScheme();
      // As it is printed, held still.
      await page.setViewportSize(PAPER);
      await page.emulateMedia({ media: 'print', colorScheme, reducedMotion: 'reduce' });
      await page.evaluate(() => window.dispatchEvent(new Event('beforeprint')));
      await expect(page.locator('.sg-printed'), `${path}, ${colorScheme}, for paper`).toHaveCount(1);
      await page.screenshot({ path: join(artefacts(colorScheme), `${name}.png`), fullPage: true });
      wrong.push(...(await objections(page)).map((one) => `${path}, ${colorScheme}: ${one}`));
      await page.evaluate(() => window.dispatchEvent(new Event('afterprint')));
      await inScheme();
      await page.setViewportSize({ width: 1440, height: 900 });
      // To look at, and last: printing in earnest ends after its file is there.
      await page.pdf({ path: join(artefacts(colorScheme), `${name}.pdf`), format: 'A4', margin: { top: '10mm', bottom: '10mm', left: '10mm', right: '10mm' } });
      await expect(page.locator('.sg-printed'), `${path}, ${colorScheme}, printed`).toHaveCount(0);
    }
  }
  expect(wrong).toEqual([]);
});
