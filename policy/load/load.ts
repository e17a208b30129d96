/** Policy files to documents. What is wrong with one document keeps that one out, and no other. */
import type {Document, Finding, MeshEgressDocument, Position} from '../documents.ts';
import {MAX_DOCUMENTS, MAX_FILE_CHARACTERS} from '../schema/limits.ts';
import {isMapping} from './conform.ts';
import {describeObject, readDocument} from './document.ts';
import {documentName} from './name.ts';
import {readPlainYaml} from './plain-yaml.ts';
import {Lines, splitDocuments, type Stretch} from './split.ts';
import {readYaml, type YamlDocument} from './yaml.ts';

/** A file's name, for messages, and its text. */
export interface Source {
  readonly file: string;
  readonly text: string;
}

export interface Loaded {
  /** Those without errors, in the order of the files. */
  readonly documents: Document[];
  /** Those that say how something is to be set up. */
  readonly setups: MeshEgressDocument[];
  /** Errors, and the warnings that one rule or document alone gives cause for; checkDocuments has the others. */
  readonly findings: Finding[];
}

/** Reads YAML and JSON files of one or more documents. Never throws, whatever the texts. */
export function loadDocuments(sources: readonly Source[]): Loaded {
  const loader = new Loader();
  for (const source of sources) loader.file(source);
  return {documents: loader.documents, setups: loader.setups, findings: loader.findings};
}

/** Lists as kubectl prints and applies them. */
const LIST_KINDS = new Set([
  'List',
  'EgressPolicyList',
  'ClusterEgressPolicyList',
  'UpstreamProxyList',
  'MeshEgressList',
]);

function readStretch(text: string, stretch: Stretch, lines: Lines): readonly YamlDocument[] {
  const plain = readPlainYaml(text, stretch);
  if (plain === null) return readYaml(text, stretch, lines);
  const {value, places} = plain;
  return [
    {
      value,
      locate: (container, key, part) => lines.position(places.offset(container, key, part) ?? stretch.from),
      issues: [],
    },
  ];
}

class Loader {
  readonly documents: Document[] = [];
  readonly setups: MeshEgressDocument[] = [];
  readonly findings: Finding[] = [];
  readonly #first = new Map<string, Position>();
  #read = 0;

  file({file, text}: Source): void {
    if (text.length > MAX_FILE_CHARACTERS) {
      this.#refuse(
        'TooLarge',
        `the file has ${text.length} characters, more than ${MAX_FILE_CHARACTERS}`,
        'Split it.',
        {file, line: 1, column: 1},
        null,
      );
      return;
    }
    const lines = new Lines(file, text);
    for (const stretch of splitDocuments(text)) {
      for (const document of readStretch(text, stretch, lines)) {
        if (++this.#read > MAX_DOCUMENTS) {
          this.#refuse(
            'TooLarge',
            `more than ${MAX_DOCUMENTS} documents`,
            'Put more rules into one document.',
            document.locate({}, null, 'value'),
            null,
          );
          return;
        }
        this.#document(document);
      }
    }
  }

  #document({value, locate, issues}: YamlDocument): void {
    const object = describeObject(value);
    for (const issue of issues) this.findings.push({severity: 'error', object, ...issue});
    if (issues.length > 0) return;
    if (isMapping(value) && LIST_KINDS.has(String(value['kind'])) && Array.isArray(value['items'])) {
      const items: readonly unknown[] = value['items'];
      items.forEach((item, i) => {
        this.#keep(readDocument(item, locate, {of: {container: value, key: 'items'}, container: items, key: i}));
      });
      return;
    }
    this.#keep(readDocument(value, locate));
  }

  #keep({document, setup, findings}: ReturnType<typeof readDocument>): void {
    this.findings.push(...findings);
    const read = document ?? setup;
    if (read === null) return;
    const name = documentName(read);
    const before = this.#first.get(name);
    if (before !== undefined) {
      this.#refuse(
        'DuplicateObject',
        `${name} is written before, at ${before.file}:${before.line}`,
        'Keep one of the two, or give this one another name.',
        read.at,
        name,
      );
      return;
    }
    this.#first.set(name, read.at);
    if (document !== null) this.documents.push(document);
    if (setup !== null) this.setups.push(setup);
  }

  #refuse(code: string, message: string, fix: string, at: Position, object: string | null): void {
    this.findings.push({severity: 'error', code, message, fix, at, object, path: ''});
  }
}
