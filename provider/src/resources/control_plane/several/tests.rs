//! Plans of several masters.
