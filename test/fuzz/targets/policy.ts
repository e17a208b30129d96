/** Policy files as a whole: loaded, compiled, checked and asked, whatever they hold. */
import {checkDocuments, compilePolicies, formatFinding, loadDocuments} from '../../../policy/index.ts';
import {INSTALLATION, ask} from '../../../policy/testing/asking.ts';
import {hold, same} from '../target.ts';
import type {Target} from '../target.ts';
import {POLICY_TEXTS, POLICY_WORDS} from './policy-words.ts';

const QUESTIONS = ['https://api.a.test/v1/x?tag=a1', 'http://b.test/..%2f', 'tls://x.b.test', 'tcp://10.1.2.3:5432'];
const ZONE = {'api.a.test': ['203.0.113.9'], 'b.test': ['10.1.2.3'], 'x.b.test': []};

function run(input: Buffer): string {
  const text = input.toString('utf8');
  const before = Object.keys(Object.prototype).length;
  const loaded = loadDocuments([{file: 'f.yaml', text}]);
  const lineCount = text.split('\n').length;
  for (const finding of [...loaded.findings, ...checkDocuments(loaded.documents)]) {
    const {at, message, fix} = finding;
    hold(at.line >= 1 && at.line <= lineCount && at.column >= 1, `a finding at ${at.line}:${at.column}`);
    hold(message !== '' && fix !== '', 'a finding without a message or a fix');
    hold([...formatFinding(finding)].every((char) => char === '\n' || (char >= ' ' && char !== '\x7f')), 'control characters in a finding'); // prettier-ignore
  }
  // The same text again is the same documents; and one text in two files is each object twice.
  same('loading is not a function', loaded, loadDocuments([{file: 'f.yaml', text}]));
  const set = compilePolicies(loaded.documents, INSTALLATION);
  const answers = QUESTIONS.map((url) => {
    const {answer} = ask(set, {url, zone: ZONE});
    if ('needs' in answer) return answer.needs;
    hold((answer.verdict === 'deny') === (answer.response !== null), 'a denial without an answer');
    return answer.reason;
  });
  hold(Object.keys(Object.prototype).length === before && !('polluted' in {}), 'Object.prototype was changed');
  const codes = new Set(loaded.findings.map(({code}) => code));
  return `${loaded.documents.map(({kind}) => kind[0]).join('')} ${[...codes].slice(0, 4).join()} ${answers.join()}`;
}

export const POLICY: Target = {
  name: 'policy',
  reads: 'policy files: load, check, compile, decide',
  covers: ['/policy/load/', '/policy/schema/', '/policy/compile', '/policy/cel/', '/policy/select'],
  dictionary: POLICY_WORDS,
  seeds: POLICY_TEXTS,
  maxBytes: 2_500,
  run,
};
