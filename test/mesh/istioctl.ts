/** istioctl on files, without a cluster. */
import {spawnSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {istioProgram} from './binaries.ts';

export interface Said {
  readonly status: number | null;
  readonly text: string;
}

/** Each value of an object against Istio's own schema: unknown fields are warnings, all else are errors. */
export const validate = (yaml: string): Said =>
  withFiles({'objects.yaml': yaml}, (dir) => istioctl(['validate', '-f', join(dir, 'objects.yaml')]));

/** The objects together, in every namespace. */
export const analyze = (yaml: string, mesh: string): Said =>
  withFiles({'objects.yaml': yaml, 'mesh.yaml': mesh}, (dir) =>
    istioctl([
      'analyze',
      '-A',
      '--use-kube=false',
      '--meshConfigFile',
      join(dir, 'mesh.yaml'),
      join(dir, 'objects.yaml'),
    ]),
  );

function istioctl(args: readonly string[]): Said {
  const program = istioProgram('istioctl')!;
  // No kubeconfig: it would ask a cluster that happens to be named there.
  const env = {PATH: process.env['PATH'] ?? '', HOME: tmpdir(), KUBECONFIG: '/dev/null'};
  const {status, stdout, stderr} = spawnSync(program, args, {encoding: 'utf8', env, timeout: 60_000});
  return {status, text: `${stdout}${stderr}`};
}

function withFiles<T>(files: Readonly<Record<string, string>>, use: (dir: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-istioctl-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
    return use(dir);
  } finally {
    rmSync(dir, {recursive: true, force: true});
  }
}
