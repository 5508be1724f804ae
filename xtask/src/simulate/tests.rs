use super::scenario::{Change, QUIET};
use super::server::{Answer, Call, Mode, Server};
use super::*;
use crate::simulate::agent::Caller;
use crate::simulate::tally::Second;
use tokio::time::{Duration, Instant};

const RATES: PerSecond = PerSecond {
    login: 450.0,
    renewal: 650.0,
    look_up: 1200.0,
    refusal: 2500.0,
    health: 3000.0,
};
const SECOND: Duration = Duration::from_secs(1);

fn options(agents: u32, scenarios: &[&str]) -> Options {
    Options {
        agents,
        seed: 1,
        measure: false,
        write: false,
        scenarios: scenarios.iter().map(|&name| name.to_owned()).collect(),
    }
}

/// A fleet of a fifth, whose server bears a fifth, keeps what is promised of the whole. The eight hours are for the
/// whole run.
#[test]
fn a_small_fleet_makes_no_storm_and_recovers() {
    let names: Vec<_> = scenario::all()
        .iter()
        .map(|scenario| scenario.name)
        .filter(|name| *name != "sealed")
        .collect();
    let played = play(&options(2000, &names), &RATES).unwrap();
    for played in &played {
        assert_eq!(played.broken(), [""; 0], "{:?}", played.cells());
        assert!(
            played.tally.count(Kind::Renewal) > 0,
            "{:?}",
            played.cells()
        );
    }
}

#[test]
fn the_measured_capacity_is_one() {
    let rates: PerSecond = serde_json::from_str(CAPACITY).unwrap();
    assert!(rates.login > 0.0 && rates.health > rates.login, "{rates:?}");
}

#[test]
fn a_seed_gives_the_same_run_and_another_seed_another() {
    let run = |seed| {
        let options = Options {
            seed,
            ..options(100, &["kill"])
        };
        play(&options, &RATES).unwrap().remove(0).tally
    };
    assert!(run(1) == run(1));
    assert!(run(1) != run(2));
}

#[test]
fn an_outage_is_noticed_by_what_it_costs() {
    let played = play(&options(200, &["kill"]), &RATES).unwrap().remove(0);
    let Played { scenario, tally } = &played;
    assert!(tally.lost > 0);
    assert!(tally.count(Kind::Health) > 1000, "{:?}", played.cells());
    let during = |(at, unwell): &(Duration, usize)| *at < scenario.back && *unwell > 50;
    assert!(tally.unwell.iter().any(during));
    let before = |(at, unwell): &(Duration, usize)| *at >= QUIET || *unwell == 0;
    assert!(tally.unwell.iter().all(before));
}

#[test]
fn what_is_promised_and_not_kept_is_told() {
    let scenario = scenario::all().remove(0);
    let back = scenario.back;
    let well = vec![(back, 0), (scenario.length, 0)];
    for (load, unwell, broken) in [
        (0.7, well.clone(), ""),
        (0.71, well.clone(), "71 % of the server"),
        (
            0.1,
            vec![(back, 3), (back + 301 * SECOND, 0)],
            "only 301 s after",
        ),
        (0.1, vec![(back, 3), (scenario.length, 2)], "never all well"),
        (0.1, vec![(back, 0), (scenario.length, 2)], "2 pods"),
    ] {
        let tally = Tally {
            seconds: vec![Second { requests: 1, load }],
            unwell,
            ..Tally::default()
        };
        let told = tally.broken(&scenario).join("; ");
        assert!(
            told.contains(broken) && told.is_empty() == broken.is_empty(),
            "{told}"
        );
    }
}

#[test]
fn the_server_answers_as_its_mode_has_it() {
    let now = Instant::now();
    let mut server = Server::new(&RATES, fleet::FULL, now);
    let call = |kind| Call {
        pod: 0,
        kind,
        by: Caller::Auth,
        matter: 0,
    };
    let ask = |server: &mut Server, kind| {
        let accepted = server.receive(call(kind), None, now).accepted;
        accepted.then(|| {
            let (at, work) = server.start(now).unwrap();
            (at - now, server.finish(&work, None, now).unwrap())
        })
    };
    let (took, answer) = ask(&mut server, Kind::Login).unwrap();
    assert!(
        took.abs_diff(2 * SECOND / 450) < Duration::from_micros(1),
        "two workers"
    );
    assert!(matches!(answer, Answer::Granted { .. }));
    assert!(matches!(
        ask(&mut server, Kind::Renewal),
        Some((_, Answer::Refused))
    ));

    server.turn(Mode::Sealed);
    assert!(matches!(
        ask(&mut server, Kind::Login),
        Some((_, Answer::Unavailable))
    ));
    server.turn(Mode::Down);
    assert!(ask(&mut server, Kind::Health).is_none());
    server.turn(Mode::Serving);
    let taken = (0..5000).filter(|_| server.receive(call(Kind::Login), None, now).accepted);
    assert_eq!(taken.count(), 4096);
}

#[test]
fn all_that_happens_is_over_before_the_scenario_is() {
    for scenario in scenario::all() {
        let last = scenario.changes.keys().next_back();
        assert!(
            scenario.back + tally::SOON < scenario.length,
            "{}",
            scenario.name
        );
        let sleeps = scenario.changes.values().find_map(|change| match change {
            Change::Sleep { time, .. } => Some(*time),
            _ => None,
        });
        let over = last.copied().unwrap_or_default() + sleeps.unwrap_or_default();
        assert!(over <= scenario.back, "{}", scenario.name);
    }
}

#[test]
fn the_picture_has_a_chart_for_each_scenario() {
    let played = play(&options(20, &["rollout", "kill"]), &RATES).unwrap();
    let svg = plot::svg(&played, 20);
    assert_eq!(svg.matches("class=\"title\"").count(), 2);
    assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}
