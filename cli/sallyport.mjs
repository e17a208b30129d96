#!/usr/bin/env node
// The command. In a checkout the TypeScript is run as it is (type stripping); the package holds compiled JavaScript.
import {existsSync} from 'node:fs';

const source = new URL('./main.ts', import.meta.url);
const built = new URL('../dist/cli/main.js', import.meta.url);
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  console.error(
    `sallyport needs Node 22.19 or newer; this is ${process.version}. In a checkout, run it by npm (npm start), which brings its own.`,
  );
  process.exit(3);
}
const {runProcess} = await import(existsSync(source) ? source.href : built.href);
await runProcess();
