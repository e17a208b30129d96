/** Reads a case file, strictly: unknown fields, wrong types and names that mean nothing are errors with their position. */
import {readdirSync, readFileSync, statSync} from 'node:fs';
import {basename, dirname, join, resolve} from 'node:path';
import {parseAllDocuments} from 'yaml';
import type {Case, DocumentValue} from './case.ts';
import {CaseError, readStrictly, type Cursor} from './cursor.ts';
import {readSecrets, readServer, readWorkload} from './read-world.ts';
import {readStep} from './read-step.ts';

const FIELDS = [
  'name',
  'description',
  'policies',
  'policyFiles',
  'workloads',
  'namespaces',
  'secrets',
  'servers',
  'steps',
] as const;

/** What `policyFiles` are read with; a test gives its own. Throws where there is no such file. */
export type ReadText = (path: string) => string;

/** Reads one case. Throws CaseError with every problem. */
export function readCase(file: string, text: string, readText: ReadText = (path) => readFileSync(path, 'utf8')): Case {
  return readStrictly(file, text, (root) => {
    const f = root.fields(FIELDS);
    for (const name of ['name', 'workloads', 'servers', 'steps'] as const)
      if (!f[name]) root.problem(`${name} is missing`);
    const name = f.name?.text() ?? '';
    const stem = basename(file).replace(/\.ya?ml$/, '');
    if (f.name && name !== stem) f.name.problem(`the name of a case is the file's: write ${JSON.stringify(stem)}`);

    const workloads = f.workloads?.entries().map((entry) => readWorkload(entry.name, entry.value)) ?? [];
    if (f.workloads && workloads.length === 0) f.workloads.problem('a world has at least one workload');
    const servers =
      f.servers && !f.servers.isNull ? f.servers.entries().map((entry) => readServer(entry.name, entry.value)) : [];
    const scope = {workloads, servers: new Set(servers.map((server) => server.name))};
    const steps = f.steps?.items().map((step) => readStep(step, scope)) ?? [];
    if (f.steps && steps.length === 0) f.steps.problem('a case has at least one step');
    return {
      file,
      name,
      description: f.description?.text() ?? '',
      documents: [...inline(f.policies), ...fromFiles(f.policyFiles, dirname(file), readText)],
      workloads,
      namespaces: new Map(
        f.namespaces?.entries().map((entry) => [entry.name, entry.value.fields(['labels']).labels?.texts() ?? {}]) ??
          [],
      ),
      secrets: f.secrets ? readSecrets(f.secrets) : new Map<string, Record<string, string>>(),
      servers,
      steps,
    };
  });
}

function inline(at: Cursor | undefined): DocumentValue[] {
  return at === undefined || at.isNull ? [] : at.items().map((one) => one.value());
}

function fromFiles(at: Cursor | undefined, folder: string, readText: ReadText): DocumentValue[] {
  const documents: DocumentValue[] = [];
  for (const item of at?.items() ?? []) {
    const path = resolve(folder, item.text());
    let text: string;
    try {
      text = readText(path);
    } catch (error) {
      item.problem((error as Error).message);
      continue;
    }
    for (const document of parseAllDocuments(text)) {
      if (!('errors' in document)) continue;
      for (const error of document.errors) item.problem(`${path}: ${error.message.split('\n')[0]}`);
      const value: unknown = document.errors.length === 0 ? document.toJS() : null;
      if (typeof value === 'object' && value !== null) documents.push(value as DocumentValue);
    }
  }
  return documents;
}

/** Every case of a folder (or one file), by name. Throws CaseError, also where two have one name. */
export function readCases(paths: readonly string[]): Case[] {
  const problems: string[] = [];
  const byName = new Map<string, Case>();
  for (const path of paths) {
    for (const file of caseFiles(path)) {
      try {
        const one = readCase(file, readFileSync(file, 'utf8'));
        const other = byName.get(one.name);
        if (other !== undefined) problems.push(`${file}:1:1: ${other.file} has the same name`);
        byName.set(one.name, one);
      } catch (error) {
        if (!(error instanceof CaseError)) throw error;
        problems.push(...error.problems);
      }
    }
  }
  if (problems.length > 0) throw new CaseError(problems);
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function caseFiles(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path)
    .filter((name) => /\.ya?ml$/.test(name))
    .sort()
    .map((name) => join(path, name));
}
