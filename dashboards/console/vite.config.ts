import { fileURLToPath } from 'node:url';

import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

import { compress } from './build/compress.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Which of the two applications: each is a root with a page of its own, over the one frame. */
const app = process.env['APP'] ?? 'central';

/** Where `/api` is while developing; `sealgate dev --ready-file` writes the addresses. */
const backend = process.env['BACKEND'] ?? 'http://127.0.0.1:9100';

export default defineConfig({
  root: here(`./${app}`),
  base: '/',
  plugins: [react(), compress()],
  resolve: { alias: { '@frame': here('./frame'), '@generated': here('./generated') } },
  build: {
    outDir: here(`./dist/${app}`),
    emptyOutDir: true,
    target: 'es2022',
    sourcemap: false,
    // A data: script or font would need another line in the content security policy.
    assetsInlineLimit: 0,
    // Its helper is an inline script.
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
  },
  // The Host stays that of the page: the services compare it with the Origin.
  server: { proxy: { '^/(api/|readyz$)': { target: backend, changeOrigin: false } } },
  test: { root: here('.'), environment: 'happy-dom', include: ['{frame,central,gateway,build}/**/*.test.{ts,tsx}'] },
});
