import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

/** Note from which sources the built files were made, so that a test can tell when they are out of date. */
const noteSources = (): Plugin => ({
  name: "note-sources",
  apply: "build",
  closeBundle() {
    const names = ["index.html", "package-lock.json", "vite.config.ts", ...readdirSync("src").map((n) => `src/${n}`)];
    const lines = names.sort().map((n) => `${createHash("sha256").update(readFileSync(n)).digest("hex")}  ${n}\n`);
    writeFileSync("built-from.sha256", lines.join(""));
  },
});

// Built files go into the Python package, under names without a hash, so that a rebuild changes few lines.
export default defineConfig({
  plugins: [noteSources()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../src/mien/server/static",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the page's policy allows no inline scripts or styles
    modulePreload: false,
    target: "es2022",
    rollupOptions: {
      output: {
        entryFileNames: "assets/page.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/page[extname]",
      },
    },
  },
  server: {
    proxy: { "/v1": { target: "http://127.0.0.1:8000", ws: true } },
  },
});
