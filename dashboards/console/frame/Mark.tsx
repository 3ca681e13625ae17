/** The product's mark. */
export function Mark({ size }: { readonly size: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden focusable="false">
      <rect width="32" height="32" rx="7" fill="#0f6b78" />
      <path
        d="M16 5.5 7.5 9v6.6c0 5.3 3.5 9.3 8.5 10.9 5-1.6 8.5-5.6 8.5-10.9V9z"
        fill="none"
        stroke="#fff"
        strokeWidth="2.2"
        strokeLinejoin="round"
      />
      <path d="M16 12v7.5M12.3 15.7h7.4" stroke="#fff" strokeWidth="2.2" strokeLinecap="round" />
    </svg>
  );
}
