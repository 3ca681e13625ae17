/** Characters of a password, at least; the service holds to it. */
export const SHORTEST = 12;
