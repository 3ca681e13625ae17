import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { artefacts, central, sql } from './service';
import { expect, logInAtCentral, test } from './test';

const MANY = 10_000;
/** Rows in the page beyond those that are seen. */
const DRAWN = 120;

/** A fleet: some connected, some lost, some suspended and retired, each with figures of its own. */
const FLEET = `
  insert into gateways (id, name, state, labels, stream_open, last_seen_at, lineage, received, applied, effective)
  select gen_random_uuid(), 'many-' || lpad(n::text, 5, '0'), (array['active', 'active', 'active', 'suspended', 'retired'])[n % 5 + 1],
         jsonb_build_object('region', 'eu-' || n % 4), n % 3 = 0, now() - (n % 3 * 40 + 1) * interval '1 s', h.lineage, n % 2, n % 2, n % 2
  from generate_series(1, ${MANY}) n, policy_head h;
  insert into report_series (gateway_id, series) select id, gen_random_uuid() from gateways where name like 'many-%';
  insert into object_totals (gateway_id, series, bucket, policy, outcome, direction, objects, bytes)
  select s.gateway_id, s.series, b.bucket, '', 'plain', b.direction, 2, 20
  from report_series s join gateways g on g.id = s.gateway_id and g.name like 'many-%',
       (values ('a', 'in'), ('b', 'in'), ('b', 'out')) b (bucket, direction);
  analyze;`;

test('ten thousand gateways are scrolled through, filtered and put in order, a few rows of them drawn at a time', async ({ page }) => {
  sql(FLEET);
  await logInAtCentral(page);
  const figures: Record<string, number> = {};
  const timed = async (name: string, work: () => Promise<void>) => {
    const begun = performance.now();
    await work();
    figures[`${name}_ms`] = Math.round(performance.now() - begun);
  };
  const region = page.getByRole('region', { name: 'Table of gateways' });
  const table = region.locator('table');
  const drawn = () => region.locator('tbody tr:not(.sg-space)').count();
  const shown = (name: string) => region.getByRole('link', { name, exact: true });

  await timed('first_rows', async () => {
    await page.goto(`${central()}/gateways?sort=name`);
    await expect(shown('many-00001')).toBeVisible();
  });
  await expect(table).toHaveAttribute('aria-rowcount', String(MANY + 1 + 1));
  expect(await drawn()).toBeLessThan(DRAWN);

  // Down to the last one, page after page, as somebody who holds the bar: what is drawn stays few.
  const frames: number[] = [];
  await timed('scrolled_to_the_end', async () => {
    for (;;) {
      frames.push(
        ...(await region.evaluate(async (scroller) => {
          const took: number[] = [];
          let before = performance.now();
          for (let steps = 0; steps < 20; steps += 1) {
            scroller.scrollBy(0, 2_000);
            await new Promise((go) => requestAnimationFrame(go));
            const now = performance.now();
            took.push(now - before);
            before = now;
          }
          return took;
        })),
      );
      expect(await drawn()).toBeLessThan(DRAWN);
      if (await shown('many-10000').isVisible()) break;
    }
  });
  expect(frames.length).toBeGreaterThan(100);
  figures['frame_median_ms'] = Math.round(frames.toSorted((a, b) => a - b)[Math.floor(frames.length / 2)] ?? NaN);
  figures['frame_p95_ms'] = Math.round(frames.toSorted((a, b) => a - b)[Math.floor(frames.length * 0.95)] ?? NaN);

  await timed('filter', async () => {
    await page.getByLabel('Name or label').fill('many-07777');
    await expect(table).toHaveAttribute('aria-rowcount', '2');
    await expect(shown('many-07777')).toBeVisible();
  });
  await page.getByLabel('Name or label').fill('region=eu-3');
  await expect(table).toHaveAttribute('aria-rowcount', String(MANY / 4 + 1));
  await page.getByLabel('Name or label').fill('');
  await expect(table).toHaveAttribute('aria-rowcount', String(MANY + 1 + 1));
  await timed('sort', async () => {
    await page.goto(`${central()}/gateways?sort=-name`);
    await expect(shown('many-10000')).toBeVisible();
  });
  expect(await drawn()).toBeLessThan(DRAWN);
  // To look at: how fast it is says the machine, so nothing here fails by it.
  writeFileSync(join(artefacts(), 'figures.json'), `${JSON.stringify(figures)}\n`);
});
