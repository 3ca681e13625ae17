import type { CSSVariablesResolver, MantineColorsTuple } from '@mantine/core';
import { createTheme } from '@mantine/core';

/** The one accent: for what can be acted on and where the reader is. States have colours of their own, in tokens.css. */
const seal: MantineColorsTuple = [
  '#e8f6f8',
  '#d2ebee',
  '#a5d7dd',
  '#75c2cb',
  '#4fb1bd',
  '#2f9daa',
  '#178795',
  '#0f6b78',
  '#0c5862',
  '#08424a',
];

/** Greys of the dark theme, with the tint of its surfaces. */
const dark: MantineColorsTuple = [
  '#e4e9ee',
  '#c3cbd4',
  '#a3adb8',
  '#8b96a2',
  '#3a4653',
  '#2b3641',
  '#1b232c',
  '#161d25',
  '#10161c',
  '#0b1015',
];

export const theme = createTheme({
  primaryColor: 'seal',
  primaryShade: { light: 7, dark: 7 },
  colors: { seal, dark },
  fontFamily: 'var(--sg-font)',
  fontFamilyMonospace: 'var(--sg-mono)',
  headings: {
    fontFamily: 'var(--sg-font)',
    fontWeight: '600',
    sizes: {
      h1: { fontSize: '1.375rem', lineHeight: '1.3' },
      h2: { fontSize: '1.0625rem', lineHeight: '1.35' },
      h3: { fontSize: '0.9375rem', lineHeight: '1.4' },
    },
  },
  fontSizes: { xs: '0.75rem', sm: '0.8125rem', md: '0.875rem', lg: '1rem', xl: '1.125rem' },
  defaultRadius: 'sm',
  radius: { sm: '6px' },
  cursorType: 'pointer',
  respectReducedMotion: true,
  components: {
    Button: { defaultProps: { size: 'sm' } },
    TextInput: { defaultProps: { size: 'sm' } },
    Select: { defaultProps: { size: 'sm', checkIconPosition: 'right' } },
    // Their heads are no second banner of the page.
    Modal: { defaultProps: { centered: true, overlayProps: { backgroundOpacity: 0.45 }, attributes: { header: { role: 'none' } } } },
    Drawer: { defaultProps: { attributes: { header: { role: 'none' } } } },
    Tooltip: { defaultProps: { withArrow: true, openDelay: 250, events: { hover: true, focus: true, touch: false } } },
    // The first entry has the keyboard: a menu holds entries only.
    Menu: { defaultProps: { withinPortal: true, shadow: 'md', withInitialFocusPlaceholder: false } },
  },
});

/** Where the library's own greys and reds fall short of WCAG AA. */
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': '#566069',
    '--mantine-color-placeholder': '#6b757e',
    '--mantine-color-error': '#b42318',
    '--mantine-color-anchor': '#0f6b78',
    '--mantine-color-body': 'var(--sg-surface)',
    '--mantine-color-text': 'var(--sg-text)',
    '--mantine-color-default-border': '#c4ccd4',
  },
  dark: {
    '--mantine-color-dimmed': '#a3adb8',
    '--mantine-color-placeholder': '#8b96a2',
    '--mantine-color-error': '#ff8a80',
    '--mantine-color-anchor': '#6cc5d0',
    '--mantine-color-body': 'var(--sg-surface)',
    '--mantine-color-text': 'var(--sg-text)',
    '--mantine-color-default': '#1b232c',
    '--mantine-color-default-hover': '#232d38',
    '--mantine-color-default-border': '#3a4653',
  },
});
