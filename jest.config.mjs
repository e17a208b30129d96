// Projects: `unit` needs nothing but Node; `lab` makes network namespaces and runs real components; `cluster` needs a
// real Kubernetes API server, which is built from sources (npm run test:cluster); `mesh` needs both the lab and a real istiod, built
// likewise (npm run test:mesh).
const base = {
  extensionsToTreatAsEsm: ['.ts'],
  transform: {'\\.ts$': '<rootDir>/test/strip-types.mjs'},
  testEnvironment: 'node',
  modulePathIgnorePatterns: ['<rootDir>/dist'],
};

const realParts = {...base, testEnvironment: '<rootDir>/test/real-parts-environment.mjs'};

export default {
  // Of one test. Nothing is measured by it: on two busy cores what takes half a second may take ten.
  testTimeout: 60_000,
  projects: [
    {
      ...base,
      displayName: 'unit',
      testMatch: ['**/*.test.ts'],
      testPathIgnorePatterns: ['/node_modules/', '\\.(lab|cluster|mesh)\\.test\\.ts$'],
    },
    {...realParts, displayName: 'lab', testMatch: ['**/*.lab.test.ts']},
    {...realParts, displayName: 'cluster', testMatch: ['**/*.cluster.test.ts']},
    {...realParts, displayName: 'mesh', testMatch: ['**/*.mesh.test.ts']},
  ],
};
