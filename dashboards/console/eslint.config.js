import a11y from 'eslint-plugin-jsx-a11y';
import hooks from 'eslint-plugin-react-hooks';
import typescript from 'typescript-eslint';

export default typescript.config(
  { ignores: ['dist', 'generated', 'node_modules'] },
  ...typescript.configs.strictTypeChecked,
  a11y.flatConfigs.strict,
  hooks.configs.flat.recommended,
  {
    languageOptions: { parserOptions: { projectService: { allowDefaultProject: ['eslint.config.js', 'build/*.mjs'] } } },
    rules: {
      // Numbers in texts are wanted.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // `onClick={() => save()}` says enough.
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // Handlers of events may be asynchronous: what fails in them is shown by the mutation.
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { attributes: false } }],
      '@typescript-eslint/consistent-type-imports': 'error',
      eqeqeq: 'error',
      'no-console': 'error',
      'no-restricted-globals': [
        'error',
        { name: 'localStorage', message: 'Only frame/preferences.ts keeps anything, and never a secret.' },
        { name: 'sessionStorage', message: 'Only frame/preferences.ts keeps anything, and never a secret.' },
      ],
    },
  },
  {
    // The frame is compiled for two applications and knows the routes of neither, so the router's types are open here.
    files: ['frame/{Palette,pages,Sidebar,Frame}.{ts,tsx}', 'frame/parts/Page.tsx'],
    rules: {
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
  {
    // Its warning says that this file would not be optimised by a compiler that is not in use.
    files: ['frame/parts/DataTable.tsx'],
    rules: { 'react-hooks/incompatible-library': 'off' },
  },
  { files: ['**/*.{js,mjs}'], ...typescript.configs.disableTypeChecked },
);
