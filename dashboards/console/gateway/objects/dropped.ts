/** A file with its place below what was chosen: `2026/july.csv`. */
export interface Chosen {
  readonly path: string;
  readonly file: File;
}

/** Files as a file dialog gives them; one for folders tells their places. */
export const chosen = (files: readonly File[]): Chosen[] =>
  files.map((file) => ({ path: file.webkitRelativePath === '' ? file.name : file.webkitRelativePath, file }));

/** What was dropped, folders with everything in them. */
export async function dropped(items: DataTransferItemList): Promise<Chosen[]> {
  // Asked for before the first wait: after the event the list is empty.
  const all = [...items].filter((item) => item.kind === 'file').map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  const found = all.map(({ entry, file }) => (entry ? within(entry) : Promise.resolve(file ? chosen([file]) : [])));
  return (await Promise.all(found)).flat();
}

async function within(entry: FileSystemEntry): Promise<Chosen[]> {
  if (isFile(entry)) {
    const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject));
    return [{ path: entry.fullPath.replace(/^\//, ''), file }];
  }
  if (!isFolder(entry)) return [];
  const reader = entry.createReader();
  const found: FileSystemEntry[] = [];
  // A folder is given in parts; an empty one is the end.
  for (;;) {
    const part = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) break;
    found.push(...part);
  }
  return (await Promise.all(found.map(within))).flat();
}

const isFile = (entry: FileSystemEntry): entry is FileSystemFileEntry => entry.isFile;
const isFolder = (entry: FileSystemEntry): entry is FileSystemDirectoryEntry => entry.isDirectory;
