import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** What a folder may not import, and why. The layering is DESIGN §2; it is what keeps both modes the same. */
function layer(files, patterns) {
  return {
    files,
    ignores: ['**/*.test.ts', '**/*.bench.ts'],
    rules: {'no-restricted-imports': ['error', {patterns}]},
  };
}
const io = {
  group: [
    'node:net',
    'node:tls',
    'node:http',
    'node:https',
    'node:http2',
    'node:fs',
    'node:fs/*',
    'node:dgram',
    'node:child_process',
    'node:dns',
    'net',
    'tls',
    'http',
    'fs',
  ],
  message:
    'Pure code decides on values: no sockets and no files here. Let an edge (tproxy/, runtime/, cli/) do the I/O.',
};
const outer = (...folders) => ({
  group: folders.flatMap((f) => [`**/${f}/**`]),
  message: `This layer must not know ${folders.join(', ')}: dependencies point from the edges to policy/, never back.`,
});

export default tseslint.config(
  {
    // Programs that run elsewhere, and what is generated.
    ignores: [
      'node_modules',
      'dist',
      'samples/filters',
      'test/clients/programs',
      'test/e2e/programs',
      'extauthz/gen',
      'charts/sallyport/tests',
    ],
  },
  js.configs.recommended,
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: {allowDefaultProject: ['*.mjs', 'cli/*.mjs', 'test/*.mjs']},
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', {considerDefaultExhaustiveForUnions: true}],
      '@typescript-eslint/no-unused-vars': ['error', {argsIgnorePattern: '^_', varsIgnorePattern: '^_'}],
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      eqeqeq: ['error', 'always', {null: 'ignore'}],
      'no-console': 'error',
    },
  },
  {
    files: ['**/*.mjs'],
    ...tseslint.configs.disableTypeChecked,
    languageOptions: {globals: {process: 'readonly', console: 'readonly', URL: 'readonly'}},
  },
  {files: ['cli/**', 'test/**'], rules: {'no-console': 'off'}},
  {
    files: ['**/*.test.ts', 'test/**'],
    rules: {'@typescript-eslint/no-unsafe-assignment': 'off', '@typescript-eslint/no-unsafe-member-access': 'off'},
  },
  layer(
    ['policy/**/*.ts'],
    [io, outer('pki', 'tproxy', 'runtime', 'cli', 'cluster', 'extauthz', 'injector', 'mesh-config')],
  ),
  layer(
    ['pki/**/*.ts'],
    [outer('tproxy', 'sources', 'dns', 'filters', 'cli', 'cluster', 'extauthz', 'injector', 'mesh-config')],
  ),
  layer(['tproxy/http1/**/*.ts'], [io, outer('policy', 'pki', 'relay', 'upstream', 'runtime', 'cli')]),
  layer(
    ['runtime/**/*.ts'],
    [outer('tproxy', 'pki', 'sources', 'dns', 'filters', 'cli', 'cluster', 'extauthz', 'injector', 'mesh-config')],
  ),
  layer(
    ['sources/**/*.ts', 'dns/**/*.ts', 'filters/**/*.ts'],
    [outer('tproxy', 'cli', 'cluster', 'extauthz', 'injector', 'mesh-config')],
  ),
  // The two enforcement points do not know each other: what they share is in the folders above.
  layer(['tproxy/**/*.ts'], [outer('cli', 'cluster', 'extauthz', 'injector', 'mesh-config')]),
  // Its supervisor is where a node learns from the cluster and tells it; the dataplane itself knows neither.
  layer(['tproxy/supervisor.ts', 'tproxy/node-*.ts'], [outer('cli', 'extauthz', 'injector', 'mesh-config')]),
  layer(['injector/**/*.ts'], [outer('tproxy', 'extauthz', 'cli', 'mesh-config')]),
  layer(['cluster/**/*.ts'], [outer('tproxy', 'extauthz', 'injector', 'cli', 'mesh-config')]),
  layer(['extauthz/**/*.ts'], [outer('tproxy', 'cli', 'injector', 'mesh-config')]),
);
