// Two projects: `unit` needs nothing but Node; `lab` makes network namespaces and runs real components.
const base = {
  extensionsToTreatAsEsm: ['.ts'],
  transform: {'\\.ts$': '<rootDir>/test/strip-types.mjs'},
  testEnvironment: 'node',
  modulePathIgnorePatterns: ['<rootDir>/dist'],
};

export default {
  projects: [
    {
      ...base,
      displayName: 'unit',
      testMatch: ['**/*.test.ts'],
      testPathIgnorePatterns: ['/node_modules/', '\\.lab\\.test\\.ts$'],
    },
    {...base, displayName: 'lab', testMatch: ['**/*.lab.test.ts']},
  ],
};
