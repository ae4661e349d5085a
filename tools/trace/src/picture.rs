//! The bring-up as a picture: who was kicked, arrived, came online, and when.

use crate::story::Story;
use std::fmt::Write;

/// What is known of the start of a CPU, nanoseconds. The last that the trace has.
#[derive(Clone, Copy, Default)]
struct Start {
    kicked: Option<(u64, usize)>,
    arrived: Option<u64>,
    online: Option<u64>,
}

const LEFT: f64 = 70.0;
const WIDTH: f64 = 640.0;
const RIGHT: f64 = 270.0;
const TOP: f64 = 64.0;
const ROW: f64 = 26.0;

/// The picture; `None` if nobody is kicked.
pub fn draw(story: &Story) -> Option<String> {
    let mut starts = vec![Start::default(); story.cpus.len()];
    for (cpu, own) in story.cpus.iter().enumerate() {
        for event in &own.events {
            let target = event.value.and_then(|value| usize::try_from(value).ok());
            match event.kind.as_str() {
                "kick" => {
                    if let Some(start) = target.and_then(|target| starts.get_mut(target)) {
                        start.kicked.get_or_insert((event.time, cpu));
                    }
                }
                "arrive" => _ = starts[cpu].arrived.get_or_insert(event.time),
                "online" => _ = starts[cpu].online.get_or_insert(event.time),
                _ => {}
            }
        }
    }
    let begin = starts.iter().filter_map(|start| start.kicked).map(|(time, _)| time).min()?;
    let times =
        starts.iter().flat_map(|start| [start.kicked.map(|(time, _)| time), start.arrived, start.online]);
    let end = times.flatten().max().unwrap_or(begin).max(begin + 1);
    Some(picture(&starts, begin, end))
}

fn picture(starts: &[Start], begin: u64, end: u64) -> String {
    let (width, height) = (LEFT + WIDTH + RIGHT, TOP + ROW * starts.len() as f64 + 40.0);
    let x = |time: u64| LEFT + WIDTH * time.saturating_sub(begin) as f64 / (end - begin) as f64;
    let microseconds = |time: u64| format!("{:.1}", time.saturating_sub(begin) as f64 / 1000.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">Bring-up: {} CPUs, us since the first was kicked</text>\n",
        starts.len()
    );
    for (index, (colour, text)) in
        [("#b8b8b8", "kicked, on its way"), ("#f0a030", "arrived, sets itself up"), ("#58a858", "online")]
            .iter()
            .enumerate()
    {
        let at = LEFT + 190.0 * index as f64;
        let _ = writeln!(
            out,
            "<rect x=\"{at}\" y=\"30\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"41\">{text}</text>",
            at + 17.0
        );
    }
    for (cpu, start) in starts.iter().enumerate() {
        let y = TOP + ROW * cpu as f64;
        let mut bar = |from: u64, to: u64, colour: &str| {
            let _ = writeln!(
                out,
                "<rect x=\"{:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"16\" fill=\"{colour}\"/>",
                x(from),
                (x(to) - x(from)).max(1.0)
            );
        };
        let text = match *start {
            Start { kicked: Some((kicked, by)), arrived, online } => {
                bar(kicked, arrived.unwrap_or(end), "#b8b8b8");
                if let Some(arrived) = arrived {
                    bar(arrived, online.unwrap_or(end), "#f0a030");
                }
                if let Some(online) = online {
                    bar(online, end, "#58a858");
                }
                let or = |time: Option<u64>| time.map_or("never".to_owned(), microseconds);
                format!(
                    "kicked {} by CPU {by}, arrived {}, online {}",
                    microseconds(kicked),
                    or(arrived),
                    or(online)
                )
            }
            // It has booted the image, or nobody has wanted it.
            _ if start.arrived.is_none() && cpu == 0 => {
                bar(begin, end, "#58a858");
                "booted the image".to_owned()
            }
            _ => "not kicked".to_owned(),
        };
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">CPU {cpu}</text><text x=\"{}\" y=\"{}\" font-size=\"10\">{text}</text>",
            LEFT - 8.0,
            y + 12.0,
            LEFT + WIDTH + 8.0,
            y + 12.0
        );
    }
    let bottom = TOP + ROW * starts.len() as f64;
    for part in 0..=4 {
        let time = begin + (end - begin) * part / 4;
        let _ = writeln!(
            out,
            "<line x1=\"{0:.1}\" y1=\"{1}\" x2=\"{0:.1}\" y2=\"{bottom}\" stroke=\"#000\" stroke-opacity=\".15\"/>\
             <text x=\"{0:.1}\" y=\"{2}\" text-anchor=\"middle\">{3}</text>",
            x(time),
            TOP - 6.0,
            bottom + 16.0,
            microseconds(time)
        );
    }
    out.push_str("</svg>\n");
    out
}
