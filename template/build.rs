fn main() {
    reveille_build::image();
}
