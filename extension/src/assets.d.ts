// Style sheets and icons are bundled as text.
declare module '*.css' {
  const text: string;
  export default text;
}
declare module '*.svg' {
  const text: string;
  export default text;
}
declare module '*.ipynb' {
  const notebook: { cells: { source: string[]; [key: string]: unknown }[]; [key: string]: unknown };
  export default notebook;
}
