//! Metrics as operators read them.

use http::{Request, StatusCode};

use super::http::{Answer, Http};

/// The address for operators of a service.
#[derive(Clone)]
pub struct Admin(Http);

/// Metrics as they were at one moment.
pub struct Scrape {
    text: String,
}

impl Admin {
    pub fn at(address: &str) -> Self {
        Self(Http { address: address.to_owned(), token: None })
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_as(path, "*/*").await
    }

    /// Asks for a path in a form.
    pub async fn get_as(&self, path: &str, accept: &str) -> Answer {
        let request = Request::builder().uri(path).header("Host", &self.0.address).header("Accept", accept);
        self.0.send(request.body(bytes::Bytes::new()).expect("a request")).await
    }

    pub async fn scrape(&self) -> Scrape {
        let answer = self.get("/metrics").await;
        assert_eq!(answer.status, StatusCode::OK);
        Scrape { text: String::from_utf8(answer.body.to_vec()).expect("metrics are text") }
    }
}

impl Scrape {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The sum of all series of a metric that have these labels, each without its fraction; 0 where there is none.
    pub fn sum(&self, metric: &str, labels: &[(&str, &str)]) -> i64 {
        let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let has = |series: &str| wanted.iter().all(|label| series.contains(label));
        let of_metric = |line: &&str| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let lines = self.text.lines().filter(of_metric).filter_map(|line| line.rsplit_once(' '));
        lines.filter(|(series, _)| has(series)).map(|(_, value)| whole(value)).sum()
    }

    /// Every metric with its type, as `(name, type)`.
    pub fn types(&self) -> Vec<(String, String)> {
        let types = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let split = types.map(|line| line.split_once(' ').expect("a name and a type"));
        split.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
    }

    /// The names of the labels of a metric, without those that histograms have by nature.
    pub fn labels(&self, metric: &str) -> Vec<String> {
        let begins = [format!("{metric}{{"), format!("{metric}_sum{{")];
        let series = self.text.lines().find_map(|line| begins.iter().find_map(|begin| line.strip_prefix(begin.as_str())));
        let Some(series) = series else { return Vec::new() };
        let (labels, _) = series.rsplit_once('}').expect("the labels end");
        labels.split("\",").filter_map(|label| label.split_once('=')).map(|(name, _)| name.to_owned()).collect()
    }
}

/// A number without its fraction.
fn whole(number: &str) -> i64 {
    let digits = number.split('.').next().expect("there is one part");
    digits.parse().unwrap_or_else(|_| panic!("{number} is a count"))
}
