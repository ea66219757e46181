/** Credentials out of text: what stands before the `@` of a URL becomes `***`. */
const USERINFO = /([a-z][a-z0-9+.-]*:\/\/)[^/?#\s,]*@/gi;

export function redactUserinfo(text: string): string {
  return text.replace(USERINFO, '$1***@');
}
