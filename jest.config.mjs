// Projects: `unit` needs nothing but Node; `lab` makes network namespaces and runs real components; `cluster` needs a
// real Kubernetes API server, which is built from sources (npm run test:cluster); `mesh` needs both the lab and a real istiod, built
// likewise (npm run test:mesh).
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
      testPathIgnorePatterns: ['/node_modules/', '\\.(lab|cluster|mesh)\\.test\\.ts$'],
    },
    {...base, displayName: 'lab', testMatch: ['**/*.lab.test.ts']},
    {...base, displayName: 'cluster', testMatch: ['**/*.cluster.test.ts']},
    {...base, displayName: 'mesh', testMatch: ['**/*.mesh.test.ts']},
  ],
};
