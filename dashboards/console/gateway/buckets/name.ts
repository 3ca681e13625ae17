const RESERVED_STARTS = ['xn--', 'sthree-', 'amzn-s3-demo-'];
const RESERVED_ENDS = ['-s3alias', '--ol-s3', '.mrap', '--x-s3', '--table-s3'];

/** Which rule of S3's for names of buckets this breaks, as the service words it; none where it may be one. */
export function breaksRule(name: string): string | undefined {
  if (name.length < 3 || name.length > 63) return 'A name has 3 to 63 characters.';
  if (!/^[a-z0-9.-]*$/.test(name)) return 'A name has lower-case letters a to z, digits, dots and hyphens only.';
  if (!/^[a-z0-9].*[a-z0-9]$/.test(name)) return 'A name begins and ends with a letter or a digit.';
  if (name.includes('..')) return 'A name has no two dots side by side.';
  if (/^(\d{1,3}\.){3}\d{1,3}$/.test(name)) return 'A name does not look like an IP address.';
  if (RESERVED_STARTS.some((start) => name.startsWith(start)) || RESERVED_ENDS.some((end) => name.endsWith(end))) return 'S3 keeps names that begin or end like this for itself.';
  return undefined;
}
