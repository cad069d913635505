//! Errors of data sources, ephemeral resources, functions, and of the cloud itself.
