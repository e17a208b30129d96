/** A finding as one line: where, how bad, what, what to write instead, and of which object. */
import type {Finding} from '../documents.ts';

/** `file:line:column: error Code: message. fix (object path)`. What is quoted of the document is escaped already. */
export function formatFinding(finding: Finding): string {
  const {at, severity, code, message, fix, object, path} = finding;
  const stop = /[.!?]$/.test(message) ? '' : '.';
  const subject = [object, path].filter((part) => part !== null && part !== '').join(' ');
  return `${at.file}:${at.line}:${at.column}: ${severity} ${code}: ${message}${stop}${fix === '' ? '' : ` ${fix}`}${subject === '' ? '' : ` (${subject})`}`;
}
