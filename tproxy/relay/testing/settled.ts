/** Resolves when `test` holds; the test's own time limit is the only clock. */
export async function settled(test: () => boolean): Promise<void> {
  while (!test()) await new Promise((resolve) => setImmediate(resolve));
}
