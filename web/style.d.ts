// esbuild puts style sheets that are imported beside the script; to the compiler they are nothing.
declare module "*.css";
