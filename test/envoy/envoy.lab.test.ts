import {existsSync} from 'node:fs';
import {afterAll, beforeAll, describe, expect} from '@jest/globals';
import {createLab, type Lab} from '../lab/index.ts';
import {ENVOY_VERSIONS, startEnvoy} from './index.ts';
import {envoyTest} from './require.ts';

const bootstrap = (port: number, body: string): object => ({
  static_resources: {
    listeners: [
      {
        name: 'answers',
        address: {socket_address: {address: '127.0.0.1', port_value: port}},
        filter_chains: [
          {
            filters: [
              {
                name: 'http',
                typed_config: {
                  '@type':
                    'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
                  stat_prefix: 'answers',
                  access_log: [
                    {
                      name: 'stdout',
                      typed_config: {
                        '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
                        path: '/dev/stdout',
                        log_format: {json_format: {path: '%REQ(:PATH)%', status: '%RESPONSE_CODE%'}},
                      },
                    },
                  ],
                  http_filters: [
                    {
                      name: 'router',
                      typed_config: {'@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router'},
                    },
                  ],
                  route_config: {
                    virtual_hosts: [
                      {
                        name: 'all',
                        domains: ['*'],
                        routes: [{match: {prefix: '/'}, direct_response: {status: 418, body: {inline_string: body}}}],
                      },
                    ],
                  },
                },
              },
            ],
          },
        ],
      },
    ],
  },
});

describe.each([...ENVOY_VERSIONS])('Envoy %s in a namespace of the lab', (version) => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await createLab({name: 'envoy', pods: []});
  }, 60_000);
  afterAll(() => lab.close());

  envoyTest(version, 'curl')(
    'two beside each other are live, log and count, and leave nothing',
    async () => {
      const [one, two] = await Promise.all([
        startEnvoy(lab, 'node', bootstrap(8001, 'one'), {version}),
        startEnvoy(lab, 'node', bootstrap(8002, 'two'), {version}),
      ]);
      const answer = await lab.exec('node', ['curl', '-s', '-w', ' %{http_code}', 'http://127.0.0.1:8002/here']);
      expect(answer.stdout).toBe('two 418');
      expect(await two.logged((line) => line['path'] === '/here')).toEqual({path: '/here', status: 418});
      expect((await two.stats('http.answers.downstream_rq_4xx')).get('http.answers.downstream_rq_4xx')).toBe(1);
      expect((await one.stats('http.answers.downstream_rq_4xx')).get('http.answers.downstream_rq_4xx')).toBe(0);
      await Promise.all([one.stop(), two.stop()]);
      for (const {pid, dir} of [one, two])
        expect([existsSync(`/proc/${pid}`), existsSync(dir)]).toEqual([false, false]);
    },
    60_000,
  );

  envoyTest(version)(
    'a configuration that is refused fails with what Envoy says of it',
    async () => {
      await expect(
        startEnvoy(lab, 'node', {static_resources: {listeners: [{name: 'without-an-address'}]}}, {version}),
      ).rejects.toThrow(/ended with exit code 1:\n[^]*without-an-address/);
    },
    60_000,
  );
});
