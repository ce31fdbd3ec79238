//! What a site configures, loading, diagnosis.
