import { defineConfig } from "vite";

// A folder that any web server can show; it is not part of the Python package.
export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: { outDir: "dist", emptyOutDir: true, assetsInlineLimit: 0, modulePreload: false, target: "es2022" },
  worker: { format: "es" },
});
