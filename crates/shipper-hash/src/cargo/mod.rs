mod error;
mod manifest;
mod paths;
mod render;
mod workspace;
