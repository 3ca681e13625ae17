import { defineConfig } from '@playwright/test';

import { artefacts, needed } from './service';

/** Against real binaries, on Debian's Chromium: `tests/suite/console.rs` starts both. */
export default defineConfig({
  testDir: '.',
  outputDir: artefacts('results'),
  // What runs at a time is what was started for it; the stories of a file share one instance.
  workers: 1,
  retries: 0,
  forbidOnly: true,
  timeout: 240_000,
  // Before the process is ended from without, which leaves no word of where it was.
  globalTimeout: Number(needed('SEALGATE_STORIES_MS')),
  expect: { timeout: 30_000 },
  reporter: [['list']],
  use: {
    viewport: { width: 1440, height: 900 },
    locale: 'en-GB',
    timezoneId: 'UTC',
    screenshot: 'only-on-failure',
    actionTimeout: 30_000,
    navigationTimeout: 60_000,
    launchOptions: {
      executablePath: process.env['SEALGATE_CHROMIUM'] ?? '/usr/bin/chromium',
      // Root in a container has no sandbox of Chromium's, and nothing but the page is to speak to a network.
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    },
  },
});
