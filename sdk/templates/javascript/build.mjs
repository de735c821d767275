// Makes dist/plugin.wasm. What is needed for it is installed when it is not there, or is not what the lock file says.

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(dirname(fileURLToPath(import.meta.url)));
const installed = join("node_modules", "installed-package-lock.json");
const isInstalled = existsSync(installed) && readFileSync(installed).equals(readFileSync("package-lock.json"));
if (!isInstalled) {
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { stdio: "inherit" });
  copyFileSync("package-lock.json", installed);
}

// A plugin reaches its mail and nothing else. With any of these the component would want files or a network as well, and would
// not be loaded.
const absent = ["http", "fetch-event", "stdio", "clocks", "random"];
const options = ["--wit", "wit", "--world-name", "filter", "--disable", ...absent];
mkdirSync("dist", { recursive: true });
const compiler = join("node_modules", "@bytecodealliance", "componentize-js", "src", "cli.js");
execFileSync(process.execPath, [compiler, "src/plugin.js", ...options, "--out", "dist/plugin.wasm"], {
  stdio: "inherit",
});
