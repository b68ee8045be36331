//! From a request to an order: what is asked, adjusted and held.
