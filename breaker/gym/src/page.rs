//! The page: one file with its data, plain script and canvas, nothing from elsewhere.

use serde_json::json;

use crate::gym::{Plan, Run};
use crate::summary::Summaries;

/// The page for `runs`, whose timelines were kept.
pub(crate) fn render(plan: &Plan, runs: &[Run], groups: &[(&'static str, Summaries)]) -> String {
    let scenarios: Vec<_> = plan
        .scenarios
        .iter()
        .map(|entry| {
            let incident = runs
                .iter()
                .find(|run| run.scenario == entry.id)
                .and_then(|run| {
                    let incident = entry.build(run.seed).incident?;
                    Some([
                        crate::time::seconds(incident.from),
                        crate::time::seconds(incident.until),
                    ])
                });
            let timelines: Vec<_> = plan
                .systems
                .iter()
                .map(|system| {
                    let of = |run: &&Run| run.scenario == entry.id && run.system == system.name;
                    runs.iter().filter(of).find_map(|run| run.timeline.as_ref())
                })
                .collect();
            let scores: Vec<_> = groups
                .iter()
                .map(|(group, summaries)| {
                    let of = |name| summaries.get(&(entry.id, name));
                    let scores: Vec<_> =
                        plan.systems.iter().map(|system| of(system.name)).collect();
                    json!({ "group": group, "scores": scores })
                })
                .collect();
            json!({
                "id": entry.id,
                "title": entry.title,
                "wanted": entry.wanted,
                "incident": incident,
                "timelines": timelines,
                "groups": scores,
            })
        })
        .collect();
    let systems: Vec<_> = plan.systems.iter().map(|system| system.name).collect();
    let data = json!({
        "systems": systems,
        "seed": plan.seeds.first(),
        "scenarios": scenarios,
    });
    // A script element ends at the first `</`, wherever that stands.
    let data = data.to_string().replace("</", "<\\/");
    PAGE.replace("/*STYLE*/", STYLE)
        .replace("/*SCRIPT*/", SCRIPT)
        .replace("/*DATA*/", &data)
}

const PAGE: &str = include_str!("../assets/gym.html");
const STYLE: &str = include_str!("../assets/gym.css");
const SCRIPT: &str = include_str!("../assets/gym.js");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gym::run;
    use crate::{scenario, system};

    #[test]
    fn the_page_has_its_data_and_needs_nothing_else() {
        let plan = Plan {
            scenarios: vec![scenario::find("S10").unwrap()],
            systems: ["none", "traefik"]
                .map(|name| system::find(name).unwrap())
                .into(),
            seeds: vec![1],
            threads: 1,
            timelines: true,
        };
        let runs = run(&plan);
        let page = render(&plan, &runs, &[("Seeds", crate::summary::summarise(&runs))]);
        assert!(page.contains("\"S10\"") && page.contains("\"arrived\":["));
        for foreign in ["http://", "https://", "/*DATA*/", "/*STYLE*/", "/*SCRIPT*/"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}
