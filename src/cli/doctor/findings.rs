//! What was found, and how bad it is.

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Level {
    Good,
    /// It works, but could be better.
    Advice,
    /// It does not work.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, serde::Serialize)]
pub(super) struct Finding {
    pub level: Level,
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

#[derive(Default)]
pub(super) struct Findings(pub Vec<Finding>);

impl Findings {
    pub(super) fn good(&mut self, what: impl Into<String>) {
        self.0.push(Finding { level: Level::Good, what: what.into(), mend: None });
    }
    pub(super) fn advice(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.0.push(Finding { level: Level::Advice, what: what.into(), mend: Some(mend.into()) });
    }
    pub(super) fn bad(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.0.push(Finding { level: Level::Bad, what: what.into(), mend: Some(mend.into()) });
    }
}
