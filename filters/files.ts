/** Which files of --filters are filters: .js, .mjs and .ts, in the order of their names; `_x.ts` and folders are for importing. */
export function filterFiles(names: readonly string[]): string[] {
  return names
    .filter((name) => /\.(?:m?js|ts)$/.test(name) && !/^[_.]|\.d\.ts$|\.test\.\w+$/.test(name))
    .sort((a, b) => (a < b ? -1 : 1));
}
